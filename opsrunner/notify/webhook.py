"""A message by HTTP. urllib of the standard library: one request, one answer, nothing that a dependency would add."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from opsrunner.errors import NotificationFailed
from opsrunner.notify import bodies
from opsrunner.notify.mail import tls_context
from opsrunner.notify.model import Webhook
from opsrunner.output.harmless import harmless_line
from opsrunner.version import VERSION

#: Answers that may be others a while later, beside those from 500 on.
PASSING = (408, 425, 429)
#: Characters of an answer that is no success which are told.
TOLD = 200
#: Seconds that a server may ask us to wait.
LONGEST_WAIT = 3600.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would turn a POST into a GET, or carry headers that are secrets elsewhere: it is told instead."""

    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def url_fault(url: str) -> str | None:
    """What is wrong with an address, None when nothing is. It tells nothing of the address itself."""
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https"):
        return "it does not begin with http:// or https://"
    if not parts.hostname or not port_is_good or not url.isascii() or not url.isprintable() or " " in url:
        return "it is no URL"
    if parts.username is not None:
        return "it holds a user: give an Authorization header"
    return None


def request_of(webhook: Webhook, variables: Mapping[str, Any], identity: str) -> urllib.request.Request:
    """The request. ``identity`` names the notification: a server may pass over a second one of that name.

    Raises TemplateFailure.
    """
    body, content_type = bodies.request_body(webhook, variables)
    headers = {
        "Content-Type": content_type,
        "User-Agent": f"opsrunner/{VERSION}",
        "Idempotency-Key": hashlib.sha256(identity.encode()).hexdigest()[:32],
        "X-Opsrunner-Event": str(variables["event"]),
    }
    if webhook.signature_key is not None:
        digest = hmac.new(webhook.signature_key.text.encode(), body, hashlib.sha256).hexdigest()
        headers[webhook.signature_header] = f"sha256={digest}"
    own = {name.lower() for name in webhook.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own}
    headers |= {name: secret.text for name, secret in webhook.headers.items()}
    return urllib.request.Request(webhook.url.text, data=body, headers=headers, method=webhook.method)


def send(webhook: Webhook, request: urllib.request.Request, timeout: float) -> str:
    """Send it; gives a note. Raises NotificationFailed unless the answer is 200 to 299.

    ``timeout``: seconds for which the server may keep silent.
    """
    https = urllib.request.HTTPSHandler(context=tls_context(webhook.ca))
    opener = urllib.request.build_opener(https, _NoRedirect)
    host = urlsplit(webhook.url.text).hostname
    try:
        with opener.open(request, timeout=timeout) as answer:
            return f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error, str(host)) from None
    except urllib.error.URLError as error:
        raise NotificationFailed(f"{host}: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotificationFailed(f"{host}: {error!r}") from None


def _refused(error: urllib.error.HTTPError, host: str) -> NotificationFailed:
    try:
        said = error.read(TOLD).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        said = ""
    what = f"{host} answers {error.code} {error.reason}" + (f": {harmless_line(said)}" if said else "")
    asked = error.headers.get("Retry-After") or ""
    wait = min(float(asked), LONGEST_WAIT) if asked.isascii() and asked.isdecimal() else None
    return NotificationFailed(what, final=error.code < 500 and error.code not in PASSING, wait=wait)

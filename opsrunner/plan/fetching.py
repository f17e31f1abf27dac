"""Fetches an address on the submitting machine, for the lookup ``url``."""

from __future__ import annotations

import netrc
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_request: Any, **_answer: Any) -> None:
        return None


class _BasicAuth(urllib.request.HTTPBasicAuthHandler):
    def http_error_401(self, request: Any, answer: Any, *told: Any) -> Any:
        try:
            return super().http_error_401(request, answer, *told)
        finally:
            answer.close()  # which the library leaves open


def fetched(url: str, wanted: Mapping[str, Any]) -> bytes:
    """What is at an http or https address. Raises ValueError, without the password in it.

    ``wanted`` are the options of the lookup: ``validate_certs`` ``use_proxy`` ``username`` ``password`` ``headers``
    ``force`` ``timeout`` (seconds) ``http_agent`` ``force_basic_auth`` ``follow_redirects`` ``use_netrc`` ``ca_path``.
    """
    parts = urlsplit(url)
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"lookup url fetches http and https, not {shown}")
    headers = {"User-Agent": str(wanted["http_agent"])}
    headers |= {str(name): str(value) for name, value in wanted["headers"].items()}
    if wanted["force"]:
        headers["Cache-Control"] = "no-cache"
    try:
        request = urllib.request.Request(shown, headers=headers)
        with _opener(parts.hostname or "", parts.username, parts.password, shown, wanted).open(
            request, timeout=float(wanted["timeout"])
        ) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise ValueError(f"Received HTTP error for {shown}: {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise ValueError(f"Failed lookup url for {shown}: {error.reason}") from None
    except OSError as error:
        raise ValueError(f"Error connecting to {shown}: {error}") from None


def _opener(
    host: str, user: str | None, password: str | None, url: str, wanted: Mapping[str, Any]
) -> urllib.request.OpenerDirector:
    trust = ssl.create_default_context(cafile=wanted["ca_path"] or None)
    if not wanted["validate_certs"]:
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=trust)]
    if not wanted["use_proxy"]:
        handlers.append(urllib.request.ProxyHandler({}))
    if str(wanted["follow_redirects"]).lower() in ("none", "no", "false"):
        handlers.append(_NoRedirects())
    if wanted["username"]:
        user, password = str(wanted["username"]), str(wanted["password"] or "")
    elif not user and wanted["use_netrc"]:
        user, password = _from_netrc(host)
    if user:
        known = urllib.request.HTTPPasswordMgrWithPriorAuth()
        known.add_password(None, url, user, password or "", is_authenticated=bool(wanted["force_basic_auth"]))
        handlers.append(_BasicAuth(known))
    return urllib.request.build_opener(*handlers)


def _from_netrc(host: str) -> tuple[str | None, str | None]:
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None, None
    return (found[0], found[2]) if found else (None, None)

"""The top-level ``notifiers:`` of a file: each notifier checked whole before any of them counts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.policy import SMTP
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, raise_all
from opsrunner.notify import bodies
from opsrunner.notify.facts import samples
from opsrunner.notify.fields import Fields, nearest, shortly
from opsrunner.notify.message import compose
from opsrunner.notify.model import DEFAULT_ON, EVENTS, Mail, Notifier, Secret, Webhook
from opsrunner.notify.webhook import url_fault
from opsrunner.tagged import Encrypted
from opsrunner.yamlcomposer import Decrypted

#: The word for nobody, in the place of names.
NOBODY = "none"
CHANNELS = ("mail", "webhook")
KEYS = (*CHANNELS, "on", "still_running_after", "timeout", "retry_after", "give_up_after", "output")
MAIL_KEYS = ("to", "from", "host", "port", "security", "user", "password", "ca_file", "subject")
WEBHOOK_KEYS = ("url", "method", "headers", "json", "form", "text", "secrets", "signature", "ca_file")
SIGNATURE_KEYS = ("header", "key")
METHODS = ("POST", "PUT")
#: Seconds; several of them must fit into the time for which a worker may hold a message.
LONGEST_TIMEOUT = 60.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}
SIGNATURE_HEADER = "X-Hub-Signature-256"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
#: A field name of HTTP (RFC 9110), and a value of it.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_HEADER_VALUE = re.compile(r"[\t -~]+\Z")


def load(path: Path) -> dict[str, Notifier]:
    """The notifiers that a file declares, by name. Raises InputError with every fault in it."""
    text = yamlsource.read_file(path)
    errors: list[InputError] = []
    document = yamlsource.load(text, str(path), on_duplicate=errors.append)
    found: dict[str, Notifier] = {}
    if isinstance(document, yamlsource.Mapping):
        for key in document:
            if key != "notifiers":
                place = document.key_places[key]
                errors.append(
                    InputError(f"unknown key {key!r}", place=place, remedy="a file of notifiers has notifiers:")
                )
        found = declared(document, text, path.parent, errors)
    elif document is not None:
        place = getattr(document, "place", Place(str(path), 1, 1))
        errors.append(InputError("a file of notifiers is a mapping", place=place, remedy="begin it with `notifiers:`"))
    raise_all(errors)
    return found


def declared(document: yamlsource.Mapping, text: str, folder: Path, errors: list[InputError]) -> dict[str, Notifier]:
    """The notifiers at the key ``notifiers`` of a file's document; what is wrong is added to ``errors``.

    ``text`` is the file's, ``folder`` what its paths are meant beside.
    """
    value = document.get("notifiers")
    if value is None:
        return {}
    place = document.value_places["notifiers"]
    if not isinstance(value, yamlsource.Mapping):
        errors.append(InputError("notifiers is a mapping of names", place=place, remedy="ops: {mail: …}"))
        return {}
    found: dict[str, Notifier] = {}
    for name, entry in value.items():
        faults: list[InputError] = []
        hidden: list[Place] = []
        notifier = _notifier(name, entry, value, folder, faults, hidden, plain_secrets=isinstance(text, Decrypted))
        for fault in faults:
            fault.excerpt = _excerpt(text, fault.place, hidden)
        errors += faults
        if notifier is not None and not faults:
            found[name] = notifier
    return found


def name_faults(value: Any, place: Place | None, known: Iterable[str]) -> list[InputError]:
    """What is wrong with the ``notify:`` of a schedule: a list of names of notifiers."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        return [InputError("notify is a list of names of notifiers", place=place)]
    known = sorted(known)
    return [
        InputError(
            f"no notifier {name!r}",
            place=yamlsource.place_of_value(value, number, place),
            remedy=nearest(name, known) if known else "declare it under notifiers:",
        )
        for number, name in enumerate(names)
        if name not in (*known, NOBODY)
    ]


def _excerpt(text: str, place: Place | None, hidden: Iterable[Place]) -> str | None:
    """The line of a fault, up to the first secret that stands on it."""
    line = yamlsource.excerpt(text, place) if place else None
    columns = [one.column for one in hidden if place and one.line == place.line]
    return f"{line[: min(columns) - 1]}********" if line and columns else line


def _notifier(
    name: Any,
    entry: Any,
    within: yamlsource.Mapping,
    folder: Path,
    faults: list[InputError],
    hidden: list[Place],
    *,
    plain_secrets: bool,
) -> Notifier | None:
    place = within.key_places[name]
    if not isinstance(name, str) or not _NAME.match(name) or name == NOBODY:
        why = f"{NOBODY} stands for nobody" if name == NOBODY else "letters, digits, '.', '_' and '-'"
        faults.append(InputError(f"{shortly(name)} is no name of a notifier", place=place, why=why))
    if not isinstance(entry, yamlsource.Mapping):
        faults.append(InputError("a notifier is a mapping", place=place, remedy="mail: or webhook:, and on:"))
        return None
    _take_on_for_a_word(entry)
    fields = Fields(entry, "a notifier", folder, faults, hidden, plain_secrets=plain_secrets)
    fields.refuse_unknown(KEYS)
    given = [channel for channel in CHANNELS if channel in entry]
    if len(given) != 1:
        fields.fault("a notifier has either mail: or webhook:", given[-1] if given else "")
        return None
    channel = fields.under(given[0], given[0])
    made = None if channel is None else (_mail(channel) if given[0] == "mail" else _webhook(channel))
    after = fields.seconds("still_running_after", 0.0) or None
    on = _events(fields)
    if "still_running" in on and after is None:
        fields.fault("still_running needs still_running_after:", "on", remedy="still_running_after: 2h")
    if after is not None and "still_running" not in on:
        on = (*on, "still_running")
    if made is None:
        return None
    notifier = Notifier(str(name), made, on, after, output=fields.truth("output", True), place=place)
    times: dict[str, Any] = {
        key: fields.seconds(key, getattr(notifier, key)) for key in ("timeout", "retry_after", "give_up_after")
    }
    if times["timeout"] > LONGEST_TIMEOUT:
        fields.fault(f"timeout is at most {LONGEST_TIMEOUT:.0f}s", "timeout")
    return replace(notifier, **times)


def _take_on_for_a_word(entry: yamlsource.Mapping) -> None:
    """YAML 1.1 takes a bare ``on`` for true, keys included."""
    if True in entry and "on" not in entry:
        for kept in (entry, entry.key_places, entry.value_places):
            kept["on"] = kept.pop(True)


def _events(fields: Fields) -> Any:
    if "on" not in fields.mapping:
        return DEFAULT_ON
    events = []
    for event, place in fields.texts("on"):
        if event not in EVENTS:
            fields.faults.append(InputError(f"unknown event {event!r}", place=place, remedy=nearest(event, EVENTS)))
        events.append(event)
    return tuple(dict.fromkeys(events))


# ---------------------------------------------------------------------- mail
def _mail(fields: Fields) -> Mail | None:
    fields.refuse_unknown(MAIL_KEYS)
    security: Any = fields.one_of("security", PORTS, "starttls")
    host = fields.text("host", required=True)
    if host and not _is_host(host):
        fields.fault(f"{shortly(host)} is no name or address of a host", "host")
    user = fields.text("user") or None
    password = fields.secret("password")
    if (user is None) != ("password" not in fields.mapping):
        fields.fault("user: and password: go together", "password" if user is None else "user")
    if password is not None and security == "none" and not _is_here(host):
        remedy = "security: starttls or tls"
        fields.fault("a password would travel in the clear", "security", remedy=remedy)
    senders = _addresses(fields, "from")
    if len(senders) > 1:
        fields.fault("from is one address", "from")
    to = _addresses(fields, "to")
    return Mail(
        host=host,
        port=fields.port(PORTS[security]),
        security=security,
        sender=senders[0] if senders else "",
        to=tuple(to),
        user=user,
        password=password,
        ca=_ca(fields),
        subject=_template(fields, "subject"),
    )


def _addresses(fields: Fields, key: str) -> list[str]:
    if key not in fields.mapping:
        fields.fault(f"mail needs {key}:")
        return []
    found = []
    for text, place in fields.texts(key):
        why = _address_fault(text)
        if why:
            fields.faults.append(InputError(f"{shortly(text)} is no mail address", place=place, why=why))
        found.append(text)
    return found


def _address_fault(text: str) -> str | None:
    if not text.isprintable():
        return "it holds control characters"
    header: Any = SMTP.header_factory("to", text)
    if header.defects or len(header.addresses) != 1:
        return "write name@domain or 'Somebody <name@domain>'; several as a list"
    address = header.addresses[0]
    if not address.username or not _HOST.match(address.domain) or " " in address.username:
        return "write name@domain"
    return None if address.addr_spec.isascii() else "only the name before <…> may hold other signs than ASCII"


def _is_host(host: str) -> bool:
    return bool(_HOST.match(host)) or _ip(host) is not None


def _is_here(host: str) -> bool:
    address = _ip(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _ip(host: str) -> Any:
    try:
        return ip_address(host)
    except ValueError:
        return None


# ---------------------------------------------------------------------- webhook
def _webhook(fields: Fields) -> Webhook | None:
    fields.refuse_unknown(WEBHOOK_KEYS)
    if "url" not in fields.mapping:
        fields.fault("webhook needs url:")
    url = fields.secret("url", check=url_fault)
    bodies_given = [key for key in ("json", "form", "text") if key in fields.mapping]
    if len(bodies_given) > 1:
        fields.fault(f"{' and '.join(bodies_given)} at one webhook", bodies_given[1], remedy="keep one of them")
    headers = fields.secrets("headers", plain=True)
    for name, secret in headers.items():
        _check_header(fields, name, secret)
    secrets = fields.secrets("secrets", plain=False)
    form = fields.mapping.get("form")
    if form is not None and not isinstance(form, dict):
        fields.fault("form is a mapping of fields", "form")
    for key in bodies_given:
        _check_templates(fields, key, {"secrets": dict.fromkeys(secrets, "********")})
    if "text" in fields.mapping and not isinstance(fields.mapping["text"], str):
        fields.fault("text is a text", "text")
    header, signature_key = _signature(fields)
    if url is None:
        return None
    return Webhook(
        url=url,
        method=fields.one_of("method", METHODS, "POST"),
        headers=headers,
        json=fields.mapping.get("json"),
        form=form,
        text=fields.mapping.get("text"),
        secrets=secrets,
        signature_header=header,
        signature_key=signature_key,
        ca=_ca(fields),
    )


def _signature(fields: Fields) -> tuple[str, Secret | None]:
    if "signature" not in fields.mapping:
        return "", None
    under = fields.under("signature", "signature")
    if under is None:
        return "", None
    under.refuse_unknown(SIGNATURE_KEYS)
    if "key" not in under.mapping:
        under.fault("signature needs key:")
    header = under.text("header", default=SIGNATURE_HEADER)
    if not _HEADER.match(header):
        under.fault(f"{shortly(header)} is no name of a header", "header")
    return header, under.secret("key")


def _check_header(fields: Fields, name: str, secret: Secret) -> None:
    if not _HEADER.match(name):
        fields.faults.append(InputError(f"{shortly(name)} is no name of a header", place=secret.place))
    if secret.kind == "text" and not _HEADER_VALUE.match(secret.text):
        what = f"the value of the header {name} holds what a header cannot"
        fields.faults.append(InputError(what, place=secret.place))


def _ca(fields: Fields) -> Secret | None:
    path = fields.text("ca_file")
    if not path:
        return None
    # Path.expanduser raises for ~nobody.
    return Secret("file", str(fields.folder / os.path.expanduser(path)), fields.at("ca_file"))  # noqa: PTH111


# ---------------------------------------------------------------------- templates
def _template(fields: Fields, key: str) -> str | None:
    if key not in fields.mapping:
        return None
    text = fields.text(key)
    _check_templates(fields, key, {})
    return text or None


def _check_templates(fields: Fields, key: str, more: Mapping[str, Any]) -> None:
    value, at = fields.mapping.get(key), fields.at(key)
    for encrypted in _encrypted(value, at):
        remedy = "give it a name under secrets: and write {{ secrets.NAME }}"
        fields.faults.append(InputError("an encrypted value within a template", place=encrypted, remedy=remedy))
        return
    known = [{**compose(facts, "sample").variables, **more} for facts in samples()]
    for fault, place in bodies.faults(value, known, at):
        fields.faults.append(InputError(f"a template that cannot be rendered: {fault}", place=place))


def _encrypted(value: Any, place: Place) -> list[Place]:
    if isinstance(value, Encrypted):
        return [place]
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    return [one for key, part in parts for one in _encrypted(part, yamlsource.place_of_value(value, key) or place)]


def check_opened(notifier: Notifier) -> None:
    """What can be said of secrets only when they are open. Raises InputError, which tells nothing of them."""
    channel = notifier.channel
    if not isinstance(channel, Webhook):
        return
    why = url_fault(channel.url.text)
    if why:
        raise InputError(f"the url of notifier {notifier.name} is no good", place=channel.url.place, why=why)
    for name, secret in channel.headers.items():
        if not _HEADER_VALUE.match(secret.text):
            raise InputError(f"the value of the header {name} holds what a header cannot", place=secret.place)

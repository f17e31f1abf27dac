"""Who is told of which events, and how; what a notifier needs on the way to a worker. No I/O but opening secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from opsrunner.errors import InputError, Place
from opsrunner.tagged import Encrypted

Event = Literal["start", "still_running", "success", "recovery", "failure", "cancelled", "held", "missed"]
EVENTS: tuple[Event, ...] = get_args(Event)
#: What a notifier is told where it does not say `on`: whatever somebody has to look at, and that it is over.
DEFAULT_ON: tuple[Event, ...] = ("failure", "recovery", "held", "missed")
Security = Literal["starttls", "tls", "none"]

#: Bytes of a file that holds a password, a token or certificates.
LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is never shown: as it is, or where it is to be had (a file, a variable, an encrypted value)."""

    kind: Literal["text", "file", "env", "vault"]
    value: Any = field(repr=False)
    place: Place | None = field(default=None, compare=False)

    def opened(self, environment: Mapping[str, str]) -> Secret:
        """As it is. Raises InputError, with the place, where it is not to be had."""
        if self.kind == "text":
            return self
        if self.kind == "vault":
            text = cast(Encrypted, self.value).read()
        else:
            text = _from_file(self) if self.kind == "file" else environment.get(self.value, "")
        # Editors end files with a newline that is part of no password.
        text = text.rstrip("\r\n")
        if not text:
            where = f"the variable {self.value} is not set" if self.kind == "env" else "it is empty"
            raise InputError("a secret that is not there", place=self.place, why=where)
        return Secret("text", text, self.place)

    @property
    def text(self) -> str:
        """What it says; only for one that was opened."""
        assert self.kind == "text"
        return str(self.value)


def _from_file(secret: Secret) -> str:
    path = Path(secret.value)
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise InputError(f"{path} is larger than {LIMIT} bytes", place=secret.place)
        return data.decode()
    except OSError as error:
        raise InputError(f"cannot read {path}", place=secret.place, why=error.strerror) from None
    except ValueError as error:
        raise InputError(f"cannot read {path}", place=secret.place, why=str(error)) from None


@dataclass(frozen=True, slots=True)
class Mail:
    """A message by SMTP. ``ca`` holds certificates to trust in the place of the system's."""

    host: str
    port: int
    security: Security
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: Secret | None = None
    ca: Secret | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request by HTTP. ``json`` and ``form`` hold templates, and so does ``text``; at most one of them is set."""

    url: Secret
    method: str = "POST"
    headers: Mapping[str, Secret] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, Any] | None = None
    text: str | None = None
    #: What templates may name as ``secrets.NAME``.
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    signature_header: str = ""
    signature_key: Secret | None = None
    ca: Secret | None = None


@dataclass(frozen=True, slots=True)
class Notifier:
    """``still_running_after``, ``timeout`` (of servers' silence), ``retry_after``, ``give_up_after``: seconds."""

    name: str
    channel: Mail | Webhook
    on: tuple[Event, ...] = DEFAULT_ON
    still_running_after: float | None = None
    timeout: float = 30.0
    retry_after: float = 30.0
    give_up_after: float = 86400.0
    #: Whether what hosts printed goes into its messages, or only that they failed.
    output: bool = True
    place: Place | None = field(default=None, compare=False)

    @property
    def kind(self) -> str:
        """``mail`` or ``webhook``."""
        return "mail" if isinstance(self.channel, Mail) else "webhook"

    @property
    def target(self) -> str:
        """Where it goes, as far as that may be shown: the path of a webhook is a secret itself."""
        if isinstance(self.channel, Mail):
            return ", ".join(self.channel.to)
        url = self.channel.url
        if url.kind == "text":
            parts = urlsplit(url.text)
            return f"{parts.scheme}://{parts.hostname}/…"
        return {"file": f"the address in {url.value}", "env": f"the address in ${url.value}"}.get(
            url.kind, "an encrypted address"
        )

    def opened(self, environment: Mapping[str, str]) -> Notifier:
        """With every secret as it is, fit to travel. Raises InputError."""
        return replace(self, channel=_each_secret(self.channel, lambda secret: secret.opened(environment)))

    def secrets(self) -> list[str]:
        """Everything that no message, log or error may show; for one that was opened."""
        found: list[str] = []

        def note(secret: Secret) -> Secret:
            found.append(secret.text)
            return secret

        _each_secret(self.channel, note)
        return found


def _each_secret(channel: Mail | Webhook, change: Any) -> Any:
    """The channel with ``change`` made to each secret in it."""
    changed: dict[str, Any] = {}
    for one in fields(channel):
        value = getattr(channel, one.name)
        if isinstance(value, Secret):
            changed[one.name] = change(value)
        elif one.name in ("headers", "secrets"):
            changed[one.name] = {name: change(secret) for name, secret in value.items()}
    return replace(channel, **changed)


def to_data(notifier: Notifier) -> dict[str, Any]:
    """An opened notifier for JSON, secrets and all: it must be sealed."""
    data = {one.name: getattr(notifier, one.name) for one in fields(notifier) if one.name not in ("place", "channel")}
    channel: dict[str, Any] = {one.name: getattr(notifier.channel, one.name) for one in fields(notifier.channel)}
    for name, value in channel.items():
        if isinstance(value, Secret):
            channel[name] = value.text
        elif name in ("headers", "secrets"):
            channel[name] = {key: secret.text for key, secret in value.items()}
    return {**data, notifier.kind: channel}


#: Fields of channels that hold a secret each.
_SECRET_FIELDS = ("password", "ca", "url", "signature_key")


def of_data(data: Mapping[str, Any]) -> Notifier:
    """What :func:`to_data` was given."""
    values = dict(data)
    mail, webhook = values.pop("mail", None), values.pop("webhook", None)
    channel = dict(mail if mail is not None else webhook)
    for name in channel.keys() & set(_SECRET_FIELDS):
        channel[name] = None if channel[name] is None else Secret("text", channel[name])
    for name in channel.keys() & {"headers", "secrets"}:
        channel[name] = {key: Secret("text", text) for key, text in channel[name].items()}
    if mail is not None:
        channel["to"] = tuple(channel["to"])
    values["on"] = tuple(values["on"])
    return Notifier(channel=Mail(**channel) if mail is not None else Webhook(**channel), **values)

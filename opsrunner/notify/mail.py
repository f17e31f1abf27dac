"""A message by SMTP. smtplib and email of the standard library: nothing among the dependencies sends mail."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from opsrunner.errors import NotificationFailed
from opsrunner.notify import bodies
from opsrunner.notify.message import Message, shortened_line
from opsrunner.notify.model import Mail, Secret
from opsrunner.output.harmless import harmless_line


def compose(mail: Mail, message: Message, identity: str, at: float) -> EmailMessage:
    """The mail: text, and HTML beside it. ``identity`` names the notification, ``at`` is its time.

    A mail that is sent twice has the same Message-ID, so that readers show it once. Raises TemplateFailure.
    """
    subject = message.subject
    if mail.subject is not None:
        subject = shortened_line(harmless_line(bodies.subject(mail.subject, message.variables)).strip())
    domain = parseaddr(mail.sender)[1].rpartition("@")[2]
    mime = EmailMessage()
    mime["From"], mime["To"], mime["Subject"] = mail.sender, ", ".join(mail.to), subject
    mime["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    mime["Message-ID"] = f"<{hashlib.sha256(identity.encode()).hexdigest()[:32]}@{domain}>"
    # All mails of a run stand together.
    mime["References"] = f"<run.{message.variables['run']['id']}@{domain}>"
    mime["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers "I am on holiday"
    mime["X-Opsrunner-Event"] = message.variables["event"]
    mime.set_content(message.text, cte="quoted-printable")
    mime.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return mime


def send(mail: Mail, mime: EmailMessage, timeout: float) -> str:
    """Hand the mail to the server; gives a note, "" when there is none. Raises NotificationFailed.

    ``timeout``: seconds for which the server may keep silent.
    """
    try:
        with _connection(mail, timeout) as server:
            if mail.user is not None and mail.password is not None:
                server.login(mail.user, mail.password.text)
            refused = server.send_message(mime)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise NotificationFailed(_refusals(error.recipients), final=all(code >= 500 for code in codes)) from None
    except smtplib.SMTPAuthenticationError as error:
        final = 500 <= error.smtp_code < 600
        raise NotificationFailed(f"{mail.host} refuses the login: {_said(error.smtp_error)}", final=final) from None
    except smtplib.SMTPResponseException as error:
        said = f"{mail.host} says {error.smtp_code} {_said(error.smtp_error)}"
        raise NotificationFailed(said, final=500 <= error.smtp_code < 600) from None
    except smtplib.SMTPNotSupportedError as error:
        raise NotificationFailed(f"{mail.host}: {error}", final=True) from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotificationFailed(f"{mail.host}:{mail.port}: {error}") from None
    return f"not to all: {_refusals(refused)}" if refused else ""


def _connection(mail: Mail, timeout: float) -> smtplib.SMTP:
    if mail.security == "tls":
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=timeout, context=tls_context(mail.ca))
    server = smtplib.SMTP(mail.host, mail.port, timeout=timeout)
    if mail.security == "starttls":
        try:
            server.starttls(context=tls_context(mail.ca))
        except BaseException:
            server.close()
            raise
    return server


def tls_context(ca: Secret | None) -> ssl.SSLContext:
    """Certificates are always looked at; ``ca`` are those to trust in the place of the system's."""
    try:
        return ssl.create_default_context(cadata=None if ca is None else ca.text)
    except ssl.SSLError as error:
        raise NotificationFailed(f"ca_file holds no certificates: {error.reason}", final=True) from None


def _refusals(recipients: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {code} {_said(text)}" for address, (code, text) in recipients.items())


def _said(text: bytes | str) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text

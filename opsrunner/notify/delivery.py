"""One message on its way: what a notifier is told, by its channel. Imported when there is one to send."""

from __future__ import annotations

from opsrunner.errors import InputError, NotificationFailed
from opsrunner.notify import mail, webhook
from opsrunner.notify.facts import Facts
from opsrunner.notify.message import compose
from opsrunner.notify.model import Mail, Notifier
from opsrunner.notify.outbox import Notification
from opsrunner.output.harmless import harmless_line, shortened
from opsrunner.templating import TemplateFailure

#: Characters of an error that are kept.
NOTE = 500


def deliver(notification: Notification, notifier: Notifier, facts: Facts) -> str:
    """Send it now; gives what there is to note. Raises NotificationFailed."""
    message = compose(facts, notifier.name)
    channel = notifier.channel
    try:
        if isinstance(channel, Mail):
            mime = mail.compose(channel, message, notification.id, notification.created)
            return mail.send(channel, mime, notifier.timeout)
        request = webhook.request_of(channel, message.variables, notification.id)
        return webhook.send(channel, request, notifier.timeout)
    except (TemplateFailure, InputError) as error:
        raise NotificationFailed(f"the template cannot be rendered: {error}", final=True) from None


def clean(text: str, notifier: Notifier) -> str:
    """The text without the notifier's secrets, on one line, whatever a server repeated of them."""
    for secret in sorted(notifier.secrets(), key=len, reverse=True):
        text = text.replace(secret, "********")
    return shortened(harmless_line(text), NOTE)

"""The body of a webhook's request: templates that know of one message and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlencode

from opsrunner.errors import Place
from opsrunner.notify.model import Webhook
from opsrunner.templating import LookupContext, Templar, TemplateFailure
from opsrunner.yamlsource import place_of_value


def request_body(webhook: Webhook, variables: Mapping[str, Any]) -> tuple[bytes, str]:
    """What is sent, and its content type. Raises TemplateFailure.

    Values of ``variables`` are never templates themselves, whatever hosts printed.
    """
    if webhook.text is not None:
        return _rendered(webhook.text, webhook, variables, text=True).encode(), "text/plain; charset=utf-8"
    if webhook.form is not None:
        fields = {key: _as_text(value) for key, value in _rendered(webhook.form, webhook, variables).items()}
        return urlencode(fields).encode(), "application/x-www-form-urlencoded"
    document = variables if webhook.json is None else _rendered(webhook.json, webhook, variables)
    return json.dumps(document, ensure_ascii=False, default=str).encode(), "application/json"


def subject(template: str, variables: Mapping[str, Any]) -> str:
    """A mail's subject. Raises TemplateFailure."""
    return str(_templar().render_text(template, variables))


def faults(value: Any, known: Sequence[Mapping[str, Any]], place: Place) -> Iterator[tuple[str, Place]]:
    """What is wrong with the templates in ``value``, each with its place.

    ``known`` are the variables of some messages: what cannot be rendered with each of them is wrong.
    """
    templar = _templar()
    if isinstance(value, Mapping | list):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, one in parts:
            yield from faults(one, known, place_of_value(value, key, place) or place)
        return
    if value is not None and not isinstance(value, (str, int, float, bool)):
        yield f"a {type(value).__name__} is no JSON: write it in quotes", place
    if not isinstance(value, str):
        return
    wrong = templar.check_text(value)
    if not wrong and templar.machine_lookups(value):
        wrong = ["a lookup that looks at a machine: give it as a secret with {file: …} or {env: …}"]
    for variables in known:
        if not wrong:
            try:
                templar.render_text(value, variables)
            except TemplateFailure as error:
                wrong = [error.message]
    for fault in wrong:
        yield fault, place


def _rendered(value: Any, webhook: Webhook, variables: Mapping[str, Any], *, text: bool = False) -> Any:
    secrets = {name: secret.text for name, secret in webhook.secrets.items()}
    scope = {**variables, "secrets": secrets}
    return _templar().render_text(value, scope) if text else _filled(value, _templar().render(value, scope))


def _filled(template: Any, rendered: Any) -> Any:
    """As it was rendered, but "" for a loop or a condition that has written nothing, which counts as None elsewhere."""
    if isinstance(template, Mapping) and isinstance(rendered, Mapping):
        return {key: _filled(template.get(key), value) for key, value in rendered.items()}
    if isinstance(template, list) and isinstance(rendered, list) and len(template) == len(rendered):
        return [_filled(*both) for both in zip(template, rendered, strict=True)]
    return "" if rendered is None and isinstance(template, str) and "{%" in template else rendered


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _no_file(path: str) -> str:
    raise FileNotFoundError(path)


@cache
def _templar() -> Templar:
    """It sees neither files nor the environment: what it makes leaves the machine."""
    return Templar(lookups=LookupContext(environment={}, read_file=_no_file, directory="/"))

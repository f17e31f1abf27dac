"""template: render a file with Jinja and put it on the host."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import REFUSED_FILE_ARGUMENTS
from opsrunner.modules.placing import PLACING_ARGUMENTS, Content, base_name, mode_of, place

_JINJA_RULES = {
    "block_end_string": "%}",
    "block_start_string": "{%",
    "comment_end_string": "#}",
    "comment_start_string": "{#",
    "variable_end_string": "}}",
    "variable_start_string": "{{",
}

SPEC = Spec(
    summary="Render a template and put the result on the host",
    arguments={
        "src": Argument("path", "the template; its folder is templates/", required=True, bundled_from="templates"),
        **PLACING_ARGUMENTS,
        "newline_sequence": Argument(
            "str", "what ends a line", default="\n", choices=("\n", "\r", "\r\n", "\\n", "\\r", "\\r\\n")
        ),
        "output_encoding": Argument("str", "encoding of the result", default="utf-8"),
        "trim_blocks": Argument("bool", "take away the newline after a block", default=True),
        "lstrip_blocks": Argument("bool", "take away blanks before a block", default=False),
        **{name: Argument("str", f"Jinja's {name}", default=mark) for name, mark in _JINJA_RULES.items()},
    },
    check_mode="full",
    asynchronous="refused",
    refused={**REFUSED_FILE_ARGUMENTS, "state": "a template is a file; the file module takes state"},
    examples="""
- template:
    src: app.conf.j2
    dest: /etc/app.conf
    mode: "0640"
    validate: appd --check %s
""",
)


def run(context: Context) -> Result:
    """Render on the worker, then place the text as copy does."""
    arguments = context.arguments
    source = arguments["src"]
    try:
        text = context.files.read(source, folder="templates").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModuleFailure(f"the template {source} is not UTF-8: {error.reason} at byte {error.start}") from None
    about = {"template_path": source, "template_destpath": arguments["dest"]}
    rendered = context.render_text(text, about=about, **_rules(context))
    encoding = arguments["output_encoding"] or "utf-8"
    try:
        data = rendered.encode(encoding)
    except (LookupError, UnicodeEncodeError) as error:
        raise ModuleFailure(f"cannot encode the result as {encoding}: {error}") from None
    return place(context, Content(data, base_name(source), source=source, mode=mode_of(context, source, "templates")))


def _rules(context: Context) -> dict[str, object]:
    """Jinja's rules where the task changes them."""
    arguments = context.arguments
    newline = {"\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n"}.get(
        arguments["newline_sequence"], arguments["newline_sequence"]
    )
    given = {name: arguments[name] for name in ("trim_blocks", "lstrip_blocks", *_JINJA_RULES)}
    given["newline_sequence"] = newline
    defaults = {name: SPEC.arguments[name].default for name in given}
    return {name: value for name, value in given.items() if value != defaults[name]}

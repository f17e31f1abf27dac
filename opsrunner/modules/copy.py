"""copy: put a file or a text on the host."""

from __future__ import annotations

import json

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import STILL_ENCRYPTED, Argument, Context, ModuleFailure, Spec
from opsrunner.modules.conversion import to_string
from opsrunner.modules.entries import REFUSED_FILE_ARGUMENTS
from opsrunner.modules.placing import PLACING_ARGUMENTS, Content, base_name, mode_of, place

SPEC = Spec(
    summary="Copy a local file, a text or a file of the host itself",
    arguments={
        "src": Argument("path", "the file; its folder is files/ beside the playbook", bundled_from="files"),
        "content": Argument("raw", "the content itself instead of src"),
        "remote_src": Argument("bool", "src is a file on the host", default=False),
        "decrypt": Argument("bool", "open a src that is encrypted with Ansible Vault", default=True),
        "checksum": Argument("str", "SHA-1 that the content must have"),
        "directory_mode": Argument("mode", "mode of directories that have to be created"),
        **PLACING_ARGUMENTS,
    },
    mutually_exclusive=(("src", "content"),),
    required_one_of=(("src", "content"),),
    check_mode="full",
    refused={
        **REFUSED_FILE_ARGUMENTS,
        "local_follow": "files are read through links when the run is submitted",
    },
    examples="""
- copy: src=motd dest=/etc/motd mode=0644
- copy:
    content: "{{ settings | to_json }}"
    dest: /etc/app/settings.json
    owner: app
    backup: true
    validate: jq . %s
""",
)


def run(context: Context) -> Result:
    """Place the content; nothing is sent when it is there already."""
    arguments = context.arguments
    checksum = arguments["checksum"]
    if arguments["content"] is not None:
        if arguments["mode"] == "preserve":
            raise ModuleFailure("mode: preserve needs a src, content has no mode of its own")
        if arguments["dest"].endswith("/"):
            raise ModuleFailure("can not use content with a dir as dest")
        return place(context, Content(_encoded(arguments["content"]), None, checksum=checksum))
    source = arguments["src"]
    if source.endswith("/"):
        raise ModuleFailure(f"{source} is a directory; copy takes single files only")
    name = base_name(source)
    if arguments["remote_src"]:
        return place(context, Content(b"", name, source=source, remote=source, checksum=checksum))
    folder = "files" if arguments["decrypt"] else STILL_ENCRYPTED
    data = context.files.read(source, folder=folder)
    content = Content(data, name, source=source, mode=mode_of(context, source, folder), checksum=checksum)
    return place(context, content)


def _encoded(content: object) -> bytes:
    """Structures are written as JSON, everything else as its text."""
    text = json.dumps(content) if isinstance(content, (dict, list)) else to_string(content)
    return text.encode("utf-8", "surrogateescape")

"""copy: put a file, a folder or a text on the host."""

from __future__ import annotations

import json

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import STILL_ENCRYPTED, Argument, Context, ModuleFailure, Spec
from opsrunner.modules.conversion import to_string
from opsrunner.modules.entries import REFUSED_FILE_ARGUMENTS
from opsrunner.modules.host_trees import copy_tree
from opsrunner.modules.placing import PLACING_ARGUMENTS, Content, SourceIsDirectory, base_name, mode_of, place
from opsrunner.modules.trees import place_tree, tree_of

SPEC = Spec(
    summary="Copy a local file or folder, a text, or a file or folder of the host itself",
    arguments={
        "src": Argument(
            "path",
            "file or folder, in files/ beside the playbook; with a slash at its end what the folder holds",
            bundled_from="files",
        ),
        "content": Argument("raw", "the content itself instead of src"),
        "remote_src": Argument("bool", "src is a file or folder on the host", default=False),
        "decrypt": Argument("bool", "open a src that is encrypted with Ansible Vault", default=True),
        "checksum": Argument("str", "SHA-1 that the content must have"),
        "directory_mode": Argument("mode", "mode of directories that are created, and of all in a folder src"),
        **PLACING_ARGUMENTS,
    },
    mutually_exclusive=(("src", "content"),),
    required_one_of=(("src", "content"),),
    check_mode="full",
    asynchronous="refused",
    refused={
        **REFUSED_FILE_ARGUMENTS,
        "local_follow": "files are read through links when the run is submitted",
    },
    examples="""
- copy: src=motd dest=/etc/motd mode=0644
- copy: src=site/ dest=/srv/site owner=www mode=0644 directory_mode=0755
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
    name = base_name(source)
    if arguments["remote_src"]:
        return _of_host(context, source, name)
    folder = "files" if arguments["decrypt"] else STILL_ENCRYPTED
    if (tree := tree_of(context, source, folder)) is not None:
        return place_tree(context, source, folder, tree)
    data = context.files.read(source, folder=folder)
    content = Content(data, name, source=source, mode=mode_of(context, source, folder), checksum=checksum)
    return place(context, content)


def _of_host(context: Context, source: str, name: str) -> Result:
    """A file or folder that lies on the host already."""
    if source.endswith("/"):
        return copy_tree(context)
    try:
        return place(context, Content(b"", name, source=source, remote=source, checksum=context.arguments["checksum"]))
    except SourceIsDirectory:
        return copy_tree(context)


def _encoded(content: object) -> bytes:
    """Structures are written as JSON, everything else as its text."""
    text = json.dumps(content) if isinstance(content, (dict, list)) else to_string(content)
    return text.encode("utf-8", "surrogateescape")

"""include_vars: variables for the host from YAML or JSON files that came with the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import LISTING, WAS_ENCRYPTED, Argument, Context, ModuleFailure, Spec

_OF_FOLDERS = ("depth", "files_matching", "ignore_files", "ignore_unknown_extensions")

SPEC = Spec(
    summary="Set variables of a host from files",
    free_form="_raw_params",
    pairs_beside_free_form=True,
    arguments={
        "_raw_params": Argument("path", "the file, behind the module's name", bundled_from="vars"),
        "file": Argument("path", "the file; its folder is vars/", bundled_from="vars"),
        "dir": Argument("path", "a folder, from the playbook's on: all of its files, in order of their names"),
        "depth": Argument("int", "levels of folders to go into; 0 for all", default=0),
        "files_matching": Argument("regex", "only files of a folder whose name it is found in"),
        "ignore_files": Argument("list", "regular expressions: files whose names end so are left out", elements="str"),
        "extensions": Argument(
            "list", "endings that files of a folder may have", default=["json", "yaml", "yml"], elements="str"
        ),
        "ignore_unknown_extensions": Argument("bool", "pass over files of other endings", default=False),
        "name": Argument("str", "put all of them into one variable of this name"),
    },
    mutually_exclusive=(("_raw_params", "file", "dir"),),
    required_one_of=(("_raw_params", "file", "dir"),),
    local=True,
    reads_only=True,
    check_mode="run",
    refused={"hash_behaviour": "mappings are replaced; the filter combine merges them"},
    examples="""
- include_vars: "{{ inventory_hostname }}.yml"
- include_vars:
    dir: vars/services
    extensions: [yml]
    name: services
""",
)


def run(context: Context) -> Result:
    """Hand them over as facts; with what lay encrypted the result is not to be shown."""
    arguments = context.arguments
    folder = arguments["dir"]
    if folder is None and any(arguments[name] for name in _OF_FOLDERS):
        raise ModuleFailure("You are mixing file only and dir only arguments, these are incompatible")
    paths = [arguments["file"] or arguments["_raw_params"]] if folder is None else list(_of_folder(context, folder))
    found: dict[str, Any] = {}
    for path in paths:
        try:
            found.update(_read(context, path))
        except ModuleFailure as failure:
            # Ansible's name for it, which playbooks read.
            raise ModuleFailure(failure.msg, message=failure.msg) from None
    name = arguments["name"]
    result: Result = {"changed": False, "ansible_included_var_files": paths}
    if any(_was_encrypted(context, path) for path in paths):
        result["_ansible_no_log"] = True
    return {**result, "ansible_facts": {name: found} if name else found}


def _of_folder(context: Context, folder: str) -> Iterator[str]:
    arguments = context.arguments
    matching = re.compile(arguments["files_matching"] or "")
    for relative in json.loads(context.files.read(folder + LISTING, folder="vars")):
        path = PurePosixPath(relative)
        if arguments["depth"] and len(path.parts) > arguments["depth"]:
            continue
        ignored = any(re.search(f"(?:{pattern})$", path.name) for pattern in arguments["ignore_files"] or ())
        if ignored or not matching.search(path.name):
            continue
        if path.suffix.removeprefix(".") in arguments["extensions"]:
            yield f"{folder}/{relative}"
        elif not arguments["ignore_unknown_extensions"]:
            endings = ", ".join(arguments["extensions"])
            raise ModuleFailure(f"{relative} does not have a valid extension: {endings}")


def _read(context: Context, path: str) -> Mapping[str, Any]:
    try:
        data = yamlsource.load(context.files.read(path, folder="vars").decode(), path)
    except (InputError, UnicodeDecodeError) as error:
        raise ModuleFailure(f"{path} cannot be read: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ModuleFailure(f"{path} must be stored as a dictionary/hash")
    wrong = next((name for name in data if not isinstance(name, str)), None)
    if wrong is not None:
        raise ModuleFailure(f"{path} has {wrong!r}, which is no name of a variable")
    return data


def _was_encrypted(context: Context, path: str) -> bool:
    try:
        context.files.read(path, folder=WAS_ENCRYPTED)
    except ModuleFailure:
        return False
    return True

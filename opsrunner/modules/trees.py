"""Whole folders that came with the run, put on the host: what is below them, one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from opsrunner.ledger.records import Result
from opsrunner.modules import file
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.placing import Content, base_name, mode_of, place


class Tree(Struct, frozen=True):
    """Paths below a folder, and what its links lead to."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    links: Mapping[str, str]


def tree_of(context: Context, source: str, folder: str) -> Tree | None:
    """What came along of the folder ``source``; None where it is a file, or nothing of that name came."""
    try:
        data = json.loads(context.files.read(source.rstrip("/") + "/", folder=folder))
    except ModuleFailure:
        return None
    return Tree(tuple(data["files"]), tuple(data["folders"]), data["links"])


def place_tree(context: Context, source: str, folder: str, tree: Tree) -> Result:
    """Files first, then folders, then links: each as the module for it does it. Raises ModuleFailure."""
    top = context.arguments["dest"].rstrip("/") + "/"
    below = top if source.endswith("/") else f"{top}{base_name(source)}/"
    result: Result = {"changed": False}
    diffs: list[Any] = []
    for relative in tree.files:
        result = _merged(result, _file(context, f"{source.rstrip('/')}/{relative}", below + relative, folder), diffs)
    if len(tree.files) != 1:
        result = {"changed": result["changed"], "dest": top, "src": source}
    for relative in tree.folders:
        wish = {"state": "directory", "mode": context.arguments["directory_mode"]}
        result = _merged(result, _entry(context, below + relative, wish), diffs, kept=True)
    for relative, target in tree.links.items():
        wish = {"state": "link", "src": target, "force": True, "follow": False}
        result = _merged(result, _entry(context, below + relative, wish), diffs, kept=True)
    return result | {"diff": diffs} if diffs else result


def _merged(result: Result, one: Result, diffs: list[Any], *, kept: bool = False) -> Result:
    """``one`` with what was so before it; or, ``kept``, the other way round."""
    found = one.pop("diff", [])
    diffs += found if isinstance(found, list) else [found]
    changed = result["changed"] or one["changed"]
    return {**(result if kept else one), "changed": changed}


def _file(context: Context, source: str, dest: str, folder: str) -> Result:
    parent, _, name = dest.rpartition("/")
    data = context.files.read(source, folder=folder)
    content = Content(data, name, source=source, mode=mode_of(context, source, folder))
    return place(_with(context, {**context.arguments, "dest": f"{parent}/"}), content)


def _entry(context: Context, path: str, wish: Mapping[str, Any]) -> Result:
    asked = {"path": path, **wish, "owner": context.arguments["owner"], "group": context.arguments["group"]}
    given = {name: value for name, value in asked.items() if value is not None}
    return file.run(_with(context, validate("file", file.SPEC, given)))


def _with(context: Context, arguments: Mapping[str, Any]) -> Context:
    return structs.replace(context, arguments=arguments)

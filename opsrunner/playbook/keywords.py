"""Every keyword of plays, blocks and tasks: which kind of value it takes, and which are refused, and why."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "text",
    "bool",
    "whole",
    "number",
    "percent",
    "expressions",
    "names",
    "tags",
    "environment",
    "serial",
    "budget",
    "duration",
    "method",
    "connection",
    "strategy",
    "order",
    "identifier",
    "rerun",
    "collections",
]
On = Literal[
    "play",
    "block",
    "gate",
    "task",
    "handler",
    "loop_control",
    "import",
    "include",
    "included handler",
    "role",
    "import_playbook",
]

#: Keywords that plays, blocks and tasks share.
_SHARED: dict[str, Kind] = {
    "become": "bool",
    "become_user": "text",
    "become_method": "method",
    "become_flags": "text",
    "remote_user": "text",
    "connection": "connection",
    "port": "whole",
    "ignore_errors": "bool",
    "ignore_unreachable": "bool",
    "no_log": "bool",
    "run_once": "bool",
    "any_errors_fatal": "bool",
    "check_mode": "bool",
    "diff": "bool",
    "guard": "bool",
    "timeout": "whole",
    "throttle": "whole",
    "environment": "environment",
    "tags": "tags",
    "collections": "collections",
}
_BLOCK: dict[str, Kind] = {
    **_SHARED,
    "when": "expressions",
    "notify": "names",
    "delegate_to": "text",
    "delegate_facts": "bool",
}
_TASK: dict[str, Kind] = {
    **_BLOCK,
    "register": "identifier",
    "until": "expressions",
    "retries": "whole",
    "delay": "number",
    "failed_when": "expressions",
    "changed_when": "expressions",
    "rerun": "rerun",
    "async": "whole",
    "poll": "whole",
}
_INCLUDE: dict[str, Kind] = {
    name: _TASK[name]
    for name in ("collections", "ignore_errors", "no_log", "register", "run_once", "tags", "timeout", "when")
}

#: Keywords whose value is checked by its kind alone.
KINDS: dict[On, dict[str, Kind]] = {
    "play": {
        **_SHARED,
        "gather_facts": "bool",
        "gather_subset": "names",
        "gather_timeout": "whole",
        "fact_path": "text",
        "serial": "serial",
        "serial_by": "text",
        "strategy": "strategy",
        "order": "order",
        "max_fail_percentage": "percent",
        "error_budget": "budget",
        "unreachable_budget": "budget",
        "force_handlers": "bool",
    },
    "block": _BLOCK,
    "gate": {name: kind for name, kind in _BLOCK.items() if name != "any_errors_fatal"},
    "task": _TASK,
    "handler": {**_TASK, "listen": "names"},
    "loop_control": {
        "loop_var": "identifier",
        "index_var": "identifier",
        "label": "text",
        "pause": "number",
        "extended": "bool",
        "extended_allitems": "bool",
        "break_when": "expressions",
    },
    # What stands on these is handed on to every task that they bring in …
    "import": _BLOCK,
    "role": _BLOCK,
    "import_playbook": {"tags": "tags", "when": "expressions"},
    # … and what stands on these is their own.
    "include": _INCLUDE,
    "included handler": {**_INCLUDE, "listen": "names"},
}

#: Lookups that a task may loop over, each as ``with_`` and its name.
LOOPS = (
    *("cartesian", "community.general.cartesian", "community.general.flattened", "csvfile", "dict", "env", "file"),
    *("fileglob", "first_found", "flattened", "indexed_items", "ini", "inventory_hostnames", "items", "lines", "list"),
    *("nested", "pipe", "random_choice", "sequence", "subelements", "template", "together", "unvault", "url"),
    *("varnames", "vars"),
)
#: Keywords that are read by code of their own.
_ANYWHERE = ("name", "vars", "module_defaults")
_LOOPING = ("loop", "loop_control", *(f"with_{name}" for name in LOOPS))
_TASK_SPECIAL = frozenset((*_ANYWHERE, "args", "action", "local_action", *_LOOPING))
SPECIAL: dict[On, frozenset[str]] = {
    "play": frozenset(
        (
            *(*_ANYWHERE, "hosts", "vars_files", "vars_prompt", "roles"),
            *("pre_tasks", "tasks", "post_tasks", "handlers", "gate"),
        )
    ),
    "block": frozenset((*_ANYWHERE, "block", "rescue", "always")),
    "gate": frozenset((*_ANYWHERE, "tasks", "dwell")),
    "task": _TASK_SPECIAL,
    "handler": _TASK_SPECIAL,
    "loop_control": frozenset(),
    "import": frozenset((*_ANYWHERE, "args", *_LOOPING)),
    "role": frozenset((*_ANYWHERE, "role")),
    "import_playbook": frozenset(("name", "vars")),
    "include": frozenset(("name", "vars", "args", *_LOOPING)),
    "included handler": frozenset(("name", "vars", "args", *_LOOPING)),
}

_NOT_YET = "is Ansible's, opsrunner does not have it yet"
_APPLY = "does not stand on an include; hand it on with apply, or put it on a block around the include"
_EACH_TASK = dict.fromkeys(("async", "poll"), "does not stand on an include; put it on each task")
_REFUSED_LOOPS = dict.fromkeys(("with_config", "with_password"), "is refused: it gives one value and no items")
_EVERYWHERE = ("debugger", "become_exe")
_REFUSED_TASK = (*_EVERYWHERE, "loop_with", "static")
_NOT_HANDED_ON = tuple(
    name
    for name in _TASK
    if name not in ("collections", "ignore_errors", "no_log", "register", "run_once")
    and name not in ("tags", "timeout", "when", "async", "poll")
)
_TASK_ONLY = ("register", "until", "retries", "delay", "failed_when", "changed_when", "async", "poll")

#: Keywords of Ansible's that are refused: the rest of the sentence that begins with their name.
REFUSED: dict[On, dict[str, str]] = {
    "play": {
        **dict.fromkeys(_EVERYWHERE, _NOT_YET),
        "when": "does not stand on a play; put it on the tasks or on a block around them",
    },
    "block": dict.fromkeys(_EVERYWHERE, _NOT_YET)
    | dict.fromkeys((*_TASK_ONLY, *_LOOPING), "does not stand on a block; put it on each task"),
    "gate": dict.fromkeys(_EVERYWHERE, _NOT_YET)
    | dict.fromkeys((*_TASK_ONLY, *_LOOPING), "does not stand on a gate; put it on each of its tasks")
    | {"any_errors_fatal": "is what a gate is; put any_errors_fatal: false on a task whose failure is only its host's"},
    "task": dict.fromkeys(_REFUSED_TASK, _NOT_YET) | _REFUSED_LOOPS | {"listen": "stands on handlers only"},
    "handler": dict.fromkeys(_REFUSED_TASK, _NOT_YET) | _REFUSED_LOOPS,
    "loop_control": {},
    "import": dict.fromkeys((*_EVERYWHERE, "static"), _NOT_YET)
    | _REFUSED_LOOPS
    | dict.fromkeys(_TASK_ONLY, "does not stand on an import; put it on each task"),
    "role": dict.fromkeys(_EVERYWHERE, _NOT_YET),
    "import_playbook": {},
    "include": dict.fromkeys((*_EVERYWHERE, "static"), _NOT_YET)
    | _REFUSED_LOOPS
    | dict.fromkeys((*_NOT_HANDED_ON, "module_defaults"), _APPLY)
    | _EACH_TASK,
    "included handler": dict.fromkeys((*_EVERYWHERE, "static"), _NOT_YET)
    | _REFUSED_LOOPS
    | dict.fromkeys((*_NOT_HANDED_ON, "module_defaults"), _APPLY)
    | _EACH_TASK,
}

#: Actions that bring in other tasks, which are read by code of their own.
INCLUDES = frozenset(("include", "include_tasks", "import_tasks", "include_role", "import_role"))


def known(on: On) -> frozenset[str]:
    """Every keyword that may stand there."""
    return frozenset(KINDS[on]) | SPECIAL[on]

"""Variables that opsrunner itself sets and that are the same for every host of a run. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from opsrunner.plan.model import Options

#: The ansible-core whose rules are kept: what ``ansible_version`` says.
ANSIBLE_CORE = (2, 19, 14)


def of_run(options: Options, directory: str, sources: Sequence[str] | None = None) -> dict[str, Any]:
    """The variables of a run; ``directory`` is the playbook's folder, ``sources`` what ``-i`` named, where it is known.

    ``ansible_limit`` is there with ``--limit`` only, as in Ansible, ``ansible_forks`` with ``--forks``.
    """
    found: dict[str, Any] = {
        "playbook_dir": directory,
        "ansible_check_mode": options.check,
        "ansible_diff_mode": options.diff,
        "ansible_run_tags": list(options.tags) or ["all"],
        "ansible_skip_tags": list(options.skip_tags),
        "ansible_verbosity": options.verbosity,
        "ansible_version": _version(),
        "ansible_playbook_python": sys.executable,
        # No ansible.cfg is ever read.
        "ansible_config_file": None,
    }
    if options.limit:
        found["ansible_limit"] = options.limit
    if options.forks:
        found["ansible_forks"] = options.forks
    if sources is not None:
        found["ansible_inventory_sources"] = list(sources)
    return found


def of_play(name: str, directory: str) -> dict[str, Any]:
    """The variables of a play that depend neither on its hosts nor on its roles; its playbook lies in ``directory``."""
    return {"ansible_play_name": name, "playbook_dir": directory}


def of_roles(names: Sequence[str], dependent: Sequence[str]) -> dict[str, Any]:
    """Names of a play's roles: those that it brings in itself, and those that these depend on."""
    return {
        "role_names": list(names),
        "ansible_play_role_names": list(names),
        "ansible_dependent_role_names": list(dependent),
        "ansible_role_names": list(dict.fromkeys((*dependent, *names))),
    }


def _version() -> dict[str, Any]:
    major, minor, revision = ANSIBLE_CORE
    text = f"{major}.{minor}.{revision}"
    return {"string": text, "full": text, "major": major, "minor": minor, "revision": revision}

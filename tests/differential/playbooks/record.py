"""Records Ansible's answers: ``python -m tests.differential.playbooks.record [NAME…]``.

Without names, all that are missing or whose case has changed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible.release import __version__ as version

from tests.differential.playbooks.harness import HERE, Place, by_ansible, cases, digest
from tests.fleet import Fleet


def recorded() -> dict[str, dict[str, Any]]:
    """Case → ``{"case": its digest, "ansible": version, "answer": …}``."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((HERE / "recorded").glob("*.json")):
        found |= json.loads(path.read_text())
    return found


def main(names: list[str]) -> None:
    every, known = cases(), recorded()
    wanted = names or [name for name, case in every.items() if known.get(name, {}).get("case") != digest(case)]
    with tempfile.TemporaryDirectory(prefix="opsrunner-cases-") as folder:
        fleet = Fleet.start(Path(folder) / "sshd")
        try:
            for name in wanted:
                case = every[name]
                answer = by_ansible(Place(Path(folder) / "case", fleet, case))
                known[name] = {"case": digest(case), "ansible": version, "answer": answer}
                tasks = len(answer.get("tasks", ()))
                sys.stdout.write(f"{name}: exit code {answer['rc']}, {tasks} tasks\n")
                _write(every, known)
        finally:
            fleet.stop()


def _write(every: dict[str, Any], known: dict[str, Any]) -> None:
    for file in {case["file"] for case in every.values()}:
        of_file = {name: known[name] for name, case in every.items() if case["file"] == file and name in known}
        text = json.dumps(of_file, indent=1, ensure_ascii=False)
        (HERE / "recorded" / f"{file}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What modules answer, key by key, beside what Ansible answers on this very machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.modules.shell_host import FolderFiles, Host

#: One task after the other, in a directory of their own; ``{d}`` is that directory.
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("command", {"cmd": "echo a"}),
    ("command", {"argv": ["echo", "a  b", "$NOT_SET"]}),
    ("command", {"cmd": "echo a", "creates": "{d}"}),
    ("command", {"cmd": "echo a", "removes": "{d}/nothing"}),
    ("shell", {"cmd": "echo a; echo b >&2; exit 3"}),
    ("shell", {"cmd": "cat", "stdin": "text", "chdir": "{d}"}),
    ("copy", {"content": "hi\n", "dest": "{d}/f", "mode": "0640"}),
    ("copy", {"content": "hi\n", "dest": "{d}/f"}),
    ("copy", {"content": "new\n", "dest": "{d}/f"}),
    ("copy", {"content": "new\n", "dest": "{d}/f", "mode": "u+x"}),
    ("copy", {"content": "x", "dest": "{d}/no/such"}),
    ("copy", {"content": "x", "dest": "{d}"}),
    ("copy", {"src": "{d}/f", "dest": "{d}/copied", "remote_src": True}),
    ("copy", {"src": "{d}/f", "dest": "{d}/copied", "remote_src": True}),
    ("file", {"path": "{d}/a/b", "state": "directory", "mode": "0711"}),
    ("file", {"path": "{d}/a", "state": "directory", "mode": "g+w", "recurse": True}),
    ("file", {"path": "{d}/f", "mode": "o=g"}),
    ("file", {"path": "{d}/l", "src": "f", "state": "link"}),
    ("file", {"path": "{d}/l", "src": "nowhere", "state": "link"}),
    ("file", {"path": "{d}/h", "src": "{d}/f", "state": "hard"}),
    ("file", {"path": "{d}/a", "src": "../f", "state": "link"}),
    ("file", {"path": "{d}/t", "state": "touch"}),
    ("file", {"path": "{d}/nothing"}),
    ("file", {"path": "{d}/t", "state": "absent"}),
    ("file", {"path": "{d}/t", "state": "absent"}),
    ("stat", {"path": "{d}/f"}),
    ("stat", {"path": "{d}/l"}),
    ("stat", {"path": "{d}/l", "follow": True, "checksum_algorithm": "sha256"}),
    ("stat", {"path": "{d}/nothing"}),
    ("wait_for", {"path": "{d}/nothing", "timeout": 1}),
    ("wait_for", {"path": "{d}/f", "search_regex": "(n.)w"}),
    ("ping", {"data": "x"}),
]

#: Never the same twice, or a path of Ansible's own.
VOLATILE = {
    *("start", "end", "delta", "inode", "atime", "mtime", "ctime", "version", "elapsed", "invocation"),
    *("exception", "failed", "diff", "src", "device_type", "deprecations", "warnings"),
}
#: Added by Ansible to every result that happens to have a ``path``; they say nothing of a wait.
EXTRA_OF_WAIT_FOR = {"uid", "gid", "mode", "size", "owner", "group", "state"}


def filled(value: Any, directory: Path) -> Any:
    if isinstance(value, dict):
        return {key: filled(part, directory) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part, directory) for part in value]
    return value.replace("{d}", str(directory)) if isinstance(value, str) else value


def by_ansible(root: Path, directory: Path) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = []
    for number, (module, arguments) in enumerate(CALLS):
        tasks.append({module: filled(arguments, directory), "register": f"r{number}", "ignore_errors": True})
    names = ", ".join(f"r{number}" for number in range(len(CALLS)))
    tasks.append({"copy": {"content": "{{ [" + names + "] | to_json }}", "dest": str(root / "answers.json")}})
    book = root / "book.yml"
    book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **os.environ,
        "HOME": str(root),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
    }
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(book)]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    answers: list[dict[str, Any]] = json.loads((root / "answers.json").read_text())
    return answers


def test_results_are_ansibles(tmp_path: Path) -> None:
    # Both work in a directory of the same path, one after the other, so that every path is the same.
    directory = tmp_path / "d"
    directory.mkdir()
    theirs = by_ansible(tmp_path, directory)
    directory.rename(tmp_path / "theirs")
    directory.mkdir()
    differences: list[str] = []
    host = Host(["/bin/sh"], directory, FolderFiles(directory))
    for (module, arguments), their in zip(CALLS, theirs, strict=True):
        our = host.run(module, filled(arguments, directory))
        assert bool(our.get("failed")) is their["failed"], (module, arguments, our, their)
        if module == "stat":
            our, their = our["stat"], their["stat"]
        ignored = VOLATILE | (EXTRA_OF_WAIT_FOR if module == "wait_for" else set())
        if our.get("failed") and "rc" not in our:
            ignored |= (our.keys() ^ their.keys()) | {"path", "dest"}  # what stands around msg differs
        ours = {key: value for key, value in our.items() if key not in ignored}
        expected = {key: value for key, value in their.items() if key not in ignored}
        if ours != expected:
            differences.append(f"{module} {arguments}: ours {ours}, Ansible's {expected}")
    assert not differences, "\n".join(differences)

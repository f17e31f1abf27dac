"""One playbook carried out twice on the same real sshd hosts: by ansible-playbook and by opsrunner.

A case is a mapping in a list in ``cases/*.yml``:

=============  ==========================================================================================
``name``       unique among all cases
``playbook``   the text of site.yml
``files``      path → text of further files beside it (``inventory/hosts.yml`` to add to the inventory)
``arguments``  words for the command line, the same for both (``-e``, ``-t``, ``-l``, ``--check`` …)
``hosts``      path → text of files that every host has before (below its own folder ``{{ d }}``)
``keys``       keys of results to compare beyond :data:`KEYS`
``without``    keys not to compare: the words of a message that differ; ``recap`` for the recap
``refused``    true when ansible-playbook refuses to begin, and so must opsrunner
=============  ==========================================================================================

The inventory has the hosts a, b and c in the group ``web`` (c in ``last`` too), each with a folder
``{{ d }}`` of its own, and ``dead``, where nothing listens, in the group ``off``.

An answer is ``{"rc", "tasks", "stats", "left"}``: the exit code as Ansible has it, for each task that
a host took part in ``{"name", "hosts": {host: {"status", …keys}}}``, the recap, and what lies in each
host's folder afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.fleet import Fleet, free_port

HERE = Path(__file__).parent
HOSTS = {"a": "127.9.0.1", "b": "127.9.0.2", "c": "127.9.0.3"}
#: What is compared of every result; of ``debug`` everything.
KEYS = ("msg", "rc", "stdout", "stderr", "attempts", "results", "censored")
_NOISE = frozenset(("invocation", "status", "mark", "seconds", "deprecations", "exception", "start", "end", "delta"))

Case = dict[str, Any]
Answer = dict[str, Any]


def cases() -> dict[str, Case]:
    """Every case by its name, in the order of the files."""
    found: dict[str, Case] = {}
    for path in sorted((HERE / "cases").glob("*.yml")):
        for case in yaml.safe_load(path.read_text()):
            assert case["name"] not in found, f"two cases are named {case['name']!r}"
            found[case["name"]] = case | {"file": path.stem}
    return found


def digest(case: Case) -> str:
    """Changes when the case does: an answer to something else is no answer."""
    asked = {key: value for key, value in case.items() if key != "file"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


class Place:
    """The folder of one case: the playbook, its files, and a folder for each host."""

    def __init__(self, root: Path, fleet: Fleet, case: Case) -> None:
        self.root = root
        self.case = case
        shutil.rmtree(root, ignore_errors=True)
        for name in HOSTS:
            self._write(root / "hosts" / name, case.get("hosts", {}))
            (root / "hosts" / name).mkdir(parents=True, exist_ok=True)
        self._write(root, {"site.yml": case["playbook"], "inventory/fleet.yml": _inventory(root, fleet)})
        self._write(root, case.get("files", {}))

    @staticmethod
    def _write(folder: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def left(self) -> dict[str, Any]:
        """Path below ``hosts/`` → kind, permission bits, and text or target, of all that lies there."""
        found: dict[str, Any] = {}
        for path in sorted((self.root / "hosts").rglob("*")):
            status = path.lstat()
            name = str(path.relative_to(self.root / "hosts"))
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            if path.is_symlink():
                found[name] = f"link to {os.readlink(path)}"  # noqa: PTH115
            elif path.is_dir():
                found[name] = f"{mode} folder"
            else:
                found[name] = f"{mode} {path.read_bytes().decode(errors='backslashreplace')}"
        return self.told(found)

    def told(self, value: Any) -> Any:
        """``value`` with this folder's own path as ``{root}``."""
        if isinstance(value, dict):
            return {self.told(key): self.told(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.told(one) for one in value]
        return value.replace(str(self.root), "{root}") if isinstance(value, str) else value


def _inventory(root: Path, fleet: Fleet) -> str:
    common = f"-o UserKnownHostsFile={fleet.known_hosts} -o StrictHostKeyChecking=yes"
    variables = {
        "ansible_port": fleet.port,
        "ansible_user": fleet.user,
        "ansible_ssh_private_key_file": str(fleet.key),
        "ansible_ssh_common_args": common,
        "ansible_python_interpreter": sys.executable,
        "d": str(root / "hosts") + "/{{ inventory_hostname }}",
    }
    hosts = {name: {"ansible_host": address} for name, address in HOSTS.items()}
    dead = {"ansible_host": "127.9.0.9", "ansible_port": free_port()}
    groups = {
        "all": {"vars": variables},
        "web": {"hosts": hosts},
        "last": {"hosts": {"c": None}},
        "off": {"hosts": {"dead": dead}},
    }
    return yaml.safe_dump(groups, sort_keys=False)


# ---------------------------------------------------------------------- Ansible
def by_ansible(place: Place) -> Answer:
    """What ansible-playbook makes of the case."""
    # A short path: the sockets of its shared connections lie below it.
    with tempfile.TemporaryDirectory(prefix="ansible-") as home:
        (Path(home) / "ansible.cfg").touch()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "tell",
            "ANSIBLE_CONFIG": f"{home}/ansible.cfg",
            "ANSIBLE_HOME": home,
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{home}/cp",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_TIMEOUT": "5",
            "TELL_TO": f"{home}/told.json",
            "LC_ALL": "C.UTF-8",
            "HOME": home,
        }
        return place.told(_told_by_ansible(place, environment))


def _told_by_ansible(place: Place, environment: dict[str, str]) -> Answer:
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory", "site.yml"]
    done = subprocess.run(
        [*command, *place.case.get("arguments", ())],
        cwd=place.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        stdin=subprocess.DEVNULL,
    )
    told = Path(environment["TELL_TO"])
    if not told.exists():
        assert place.case.get("refused"), done.stderr
        return {"rc": done.returncode, "error": done.stderr.strip()[:2000]}
    answer = json.loads(told.read_text())
    tasks = [_task(place.case, task, task["debug"]) for task in _over_batches(answer["tasks"])]
    return {"rc": done.returncode, "tasks": tasks, "stats": _compared(place, answer["stats"]), "left": place.left()}


def _over_batches(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A task that several batches come to one after the other is told once, with the hosts of all."""
    found: list[dict[str, Any]] = []
    for task in tasks:
        twins = (
            one for one in found if one["place"] == task["place"] and not one["hosts"].keys() & task["hosts"].keys()
        )
        if twin := next(twins, None):
            twin["hosts"] |= task["hosts"]
        elif task["hosts"]:
            found.append(task)
    return found


# ---------------------------------------------------------------------- opsrunner
def by_opsrunner(place: Place) -> Answer:
    """What opsrunner makes of it: the command line in this process, with the worker that the environment names."""
    from opsrunner.cli.main import run

    words = ["run", "site.yml", "-i", "inventory", "--output", "json", *place.case.get("arguments", ())]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(place.root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    if code in (1, 64, 65, 69):
        return {"rc": code, "error": place.told(err.getvalue())}
    answer = json.loads(out.getvalue()) if out.getvalue() else {"plays": [], "stats": {}}
    done = _over_batches([task for play in answer["plays"] for task in play["tasks"] if task["module"] != "meta"])
    tasks = [_task(place.case, task, task["module"] == "debug") for task in done]
    stats = _compared(place, _stats(answer["stats"]))
    return place.told({"rc": code, "tasks": tasks, "stats": stats, "left": place.left()})


def _compared(place: Place, stats: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {} if "recap" in place.case.get("without", ()) else stats


def _stats(stats: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    kept = ("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored")
    return {host: {name: counts[name] for name in kept} for host, counts in stats.items() if any(counts.values())}


# ---------------------------------------------------------------------- both
def _task(case: Case, task: dict[str, Any], debug: bool) -> dict[str, Any]:
    hosts = {host: _result(case, result, debug) for host, result in sorted(task["hosts"].items())}
    return {"name": task["name"], "hosts": hosts}


def _result(case: Case, result: dict[str, Any], debug: bool) -> dict[str, Any]:
    """What is compared of one result."""
    without = {*_NOISE, *case.get("without", ())}

    def kept(one: dict[str, Any], keys: set[str]) -> dict[str, Any]:
        names = {name for name in one if not name.startswith("_ansible")} if debug else keys.intersection(one)
        return {name: one[name] for name in one if name in names - without}

    keys = {*KEYS, *case.get("keys", ())}
    found = {"status": result["status"], **kept(result, keys)}
    if isinstance(found.get("results"), list):
        inner = {"item", "ansible_loop_var", "changed", "failed", "skipped", *keys}
        found["results"] = [kept(one, inner) if isinstance(one, dict) else one for one in found["results"]]
    return found


def differences(expected: Answer, found: Answer) -> Iterator[str]:
    """Each thing in which ``found`` is not ``expected``, in words."""
    if "error" in expected or "error" in found:
        if ("error" in expected) != ("error" in found):
            yield f"expected {json.dumps(expected)[:1500]}\nfound    {json.dumps(found)[:1500]}"
        return
    names = [task["name"] for task in expected["tasks"]]
    if names != [task["name"] for task in found["tasks"]]:
        yield f"tasks: {names}, not {[task['name'] for task in found['tasks']]}"
        return
    for theirs, ours in zip(expected["tasks"], found["tasks"], strict=True):
        if sorted(theirs["hosts"]) != sorted(ours["hosts"]):
            yield f"{theirs['name']}: hosts {sorted(theirs['hosts'])}, not {sorted(ours['hosts'])}"
            continue
        for host, their in theirs["hosts"].items():
            our = ours["hosts"][host]
            for key, value in their.items():
                if value != our.get(key):
                    yield f"{theirs['name']}, {host}: {key} {value!r}, not {our.get(key)!r}"
    if _recap(expected) != _recap(found):
        yield f"recap {_recap(expected)}, not {_recap(found)}"
    if expected["left"] != found["left"]:
        every = sorted({*expected["left"], *found["left"]})
        for path in every:
            their, our = expected["left"].get(path), found["left"].get(path)
            if their != our:
                yield f"{path} is {their!r}, not {our!r}"
    if bool(expected["rc"]) != bool(found["rc"]):
        yield f"exit code {expected['rc']}, not {found['rc']}"


def _recap(answer: Answer) -> dict[str, dict[str, int]]:
    """The recap; of hosts with ignored failures without ``changed``, where Ansible counts those, too."""
    return {
        host: {name: number for name, number in counts.items() if name != "changed" or not counts["ignored"]}
        for host, counts in answer["stats"].items()
    }

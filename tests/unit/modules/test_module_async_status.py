"""Jobs on a real shell: begun, asked for, ended by their time, killed, removed."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import JobOrder
from tests.unit.modules.programs import Programs
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host

NAME = "j123.0"


def begin(host: Host, text: str, module: str = "shell", *, seconds: int = 30, **more: Any) -> Result:
    """Begin a job; all that the command that began it left in its own process group is killed by the host."""
    given = more.pop("arguments", {})
    return host.run(module, {"_raw_params": text, **given}, job=JobOrder(NAME, seconds), **more)


def look(host: Host, jid: str = NAME, mode: str = "status") -> Result:
    return host.run("async_status", {"jid": jid, "mode": mode})


def ended(host: Host) -> Result:
    """What became of the job, as soon as it has ended."""
    deadline = time.monotonic() + 20
    while not (result := look(host))["finished"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


def group(host: Host) -> str:
    return (host.home / ".ansible_async" / NAME / "pid").read_text().split("\n", 1)[0]


def alive(leader: str) -> list[str]:
    """Processes of the group that are no zombies."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [row[2] for row in rows if row[0] == leader and not row[1].startswith("Z")]


def test_from_its_beginning_to_its_end(host: Host) -> None:
    begun = begin(host, "echo out; echo err >&2; until [ -e go ]; do sleep .05; done; pwd; exit 3")
    folder = host.home / ".ansible_async" / NAME
    told = {"changed": True, "started": True, "finished": False, "ansible_job_id": NAME, "results_file": str(folder)}
    assert begun == told
    assert host.round_trips == 1
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)] == [0o700, 0o700]
    early = look(host)
    assert (early["started"], early["finished"], early["changed"], early["stdout"]) == (True, False, False, "")
    leader = group(host)
    (host.home / "go").touch()
    late = ended(host)
    assert (late["rc"], late["failed"], late["msg"]) == (3, True, "non-zero return code")
    assert (late["stdout"], late["stderr"]) == (f"out\n{host.home}", "err")
    assert late["cmd"].startswith("echo out") and late["start"] < late["end"] and late["delta"].startswith("0:00:0")
    assert ended(host) == late
    deadline = time.monotonic() + 5
    while alive(leader):
        assert time.monotonic() < deadline, alive(leader)
        time.sleep(0.02)
    assert sorted(path.name for path in folder.iterdir()) == ["err", "out", "pid", "rc", "terms"]
    erased = look(host, mode="cleanup")
    assert (erased["erased"], erased["changed"], erased["finished"]) == (str(folder), False, False)
    assert list(folder.parent.iterdir()) == []
    for mode in ("status", "cleanup"):
        gone = look(host, mode=mode)
        assert (gone["msg"], gone["failed"], gone["finished"]) == ("could not find job", True, True)


def test_when_its_time_is_over_all_of_it_dies(host: Host) -> None:
    begin(host, "(trap '' TERM HUP; sleep 41 & wait) & sleep 42; touch never", seconds=1)
    leader = group(host)
    result = ended(host)
    assert (result["msg"], result["failed"], result["child_pid"]) == ("Timeout exceeded", True, leader)
    time.sleep(0.1)
    assert alive(leader) == []
    assert not (host.home / "never").exists()


def test_its_time_ends_it_also_when_it_was_forgotten(programs: Programs) -> None:
    host = programs.host
    begin(host, "sleep 43", seconds=1)
    leader = group(host)
    assert look(host, mode="cleanup")["erased"]
    assert alive(leader)
    time.sleep(1.3)
    assert alive(leader) == []


def test_a_job_that_was_killed_says_so(programs: Programs) -> None:
    host = programs.host
    begin(host, "sleep 44")
    os.killpg(int(group(host)), signal.SIGKILL)
    result = ended(host)
    assert result["failed"] and "its processes were killed, or the host was restarted" in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"creates": "."}, {"stdout": "skipped, since . exists", "rc": 0, "changed": False}),
        ({"removes": "no"}, {"msg": "Did not run command since 'no' does not exist", "changed": False}),
        ({"chdir": "/no/such"}, {"failed": True, "msg": "Unable to change directory before execution."}),
        ({"chdir": "/"}, {"stdout": "/\n[]", "changed": True}),
        ({"stdin": "in"}, {"stdout": "HOME\n[in]"}),
        ({"strip_empty_ends": False}, {"stdout": "HOME\n[]\n\n"}),
    ],
)
def test_arguments_of_its_command(programs: Programs, arguments: dict[str, Any], expected: Result) -> None:
    host = programs.host
    begin(host, 'pwd; echo "[$(cat)]"; echo', arguments=arguments)
    result = ended(host)
    told = {key: str(value).replace(str(host.home), "HOME") for key, value in result.items()}
    assert {key: told[key] for key in expected} == {key: str(value) for key, value in expected.items()}


def test_check_mode_predicts(programs: Programs) -> None:
    host = programs.host
    begin(host, "touch never", check=True)
    result = ended(host)
    assert (result["skipped"], result["changed"]) == (True, False)
    assert not (host.home / "never").exists()


def test_what_watches_a_job_does_not_show_its_text(programs: Programs) -> None:
    begin(programs.host, ": secret; until [ -e go ]; do sleep .05; done")
    watching = [words for words in alive(group(programs.host)) if "opsrunner-job" in words]
    assert watching and not any("secret" in words for words in watching)
    (programs.host.home / "go").touch()
    assert ended(programs.host)["rc"] == 0


def test_a_name_is_taken_once(programs: Programs) -> None:
    host = programs.host
    begin(host, "echo first")
    again = begin(host, "touch never")
    assert again["failed"] and "could not create directory" in again["msg"]
    assert ended(host)["stdout"] == "first"
    assert not (host.home / "never").exists()


def test_the_folder_is_the_hosts_variable(programs: Programs) -> None:
    host = programs.host
    folder = host.home / "my jobs" / "here"
    assert begin(host, "echo there", jobs="~/my jobs/here")["results_file"] == f"{folder}/{NAME}"
    assert look(host)["msg"] == "could not find job"
    deadline = time.monotonic() + 10
    while not (found := host.run("async_status", {"jid": NAME}, jobs=str(folder)))["finished"]:
        assert time.monotonic() < deadline
    assert found["stdout"] == "there"
    (host.home / "file").touch()
    failed = begin(host, "true", jobs=f"{host.home}/file/x")
    assert failed["failed"] and "could not create directory" in failed["msg"]


@pytest.mark.parametrize("jid", ["../mine", ".", "..", "", "a/b", "j1\n"])
def test_no_name_leads_elsewhere(programs: Programs, jid: str) -> None:
    host = programs.host
    (host.home / ".ansible_async").mkdir()
    (host.home / "mine").mkdir()
    assert look(host, jid, "cleanup")["msg"] == "could not find job"
    assert (host.home / "mine").is_dir()


@pytest.mark.parametrize(("rc", "words"), [("no number\n", "status is 'no'"), ("-1 1\n", "status is '-1'")])
def test_a_record_that_somebody_has_changed(programs: Programs, rc: str, words: str) -> None:
    host = programs.host
    begin(host, "true")
    ended(host)
    folder = host.home / ".ansible_async" / NAME
    (folder / "rc").write_text(rc)
    (folder / "terms").write_text("[1")
    assert words in look(host)["msg"]


@pytest.mark.parametrize(("tools", "begins"), [(["perl"], True), ([], False)])
def test_a_host_without_setsid(tmp_path: Path, tools: list[str], begins: bool) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*tools, *("cat", "date", "mkdir", "mv", "rm", "sh", "sleep", "ps")):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    (tmp_path / "home").mkdir()
    host = Host(SHELLS[0], tmp_path / "home", FolderFiles(tmp_path))
    result = begin(host, "echo mine; sleep .3; echo end", environment={"PATH": str(folder)})
    if begins:
        assert ended(host)["stdout"] == "mine\nend"
    else:
        assert "neither setsid nor perl" in result["msg"]
        assert list((tmp_path / "home" / ".ansible_async").iterdir()) == []

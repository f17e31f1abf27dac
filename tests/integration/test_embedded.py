"""The embedded server and worker, for real: started once however many come, found dead when they are, ended by us."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from opsrunner import embedded, processes, settings
from opsrunner.errors import BrokerUnavailable
from opsrunner.settings import Settings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def chosen(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a state directory of this test's own; whatever runs there afterwards is ended."""
    loaded = settings.load({"OPSRUNNER_STATE_DIR": str(tmp_path / "state")}, tmp_path)
    yield loaded
    embedded.stop_worker(loaded)
    embedded.stop(loaded)


def connect(chosen: Settings) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(settings.embedded_socket(chosen.state_dir)))


def server_pid(chosen: Settings) -> int:
    pid = embedded.status(chosen).server
    assert pid is not None
    return pid


# ---------------------------------------------------------------------- the server
def test_the_server_is_private_durable_and_not_on_the_network(chosen: Settings) -> None:
    assert embedded.status(chosen).server is None
    url = embedded.ensure(chosen)
    assert url == settings.embedded_url(chosen.state_dir)
    for path in (Path(chosen.state_dir), settings.embedded_socket(chosen.state_dir)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with connect(chosen) as client:
        told = client.config_get("*")
        assert told["port"] == "0"
        assert told["appendonly"] == "yes"
        assert told["appendfsync"] == "everysec"
        assert told["maxmemory-policy"] == "noeviction"
        assert int(told["hz"]) < 10, "it mostly sleeps"


def test_a_server_that_runs_is_used_and_quickly(chosen: Settings) -> None:
    embedded.ensure(chosen)
    pid = server_pid(chosen)
    assert embedded.ensure(chosen) == settings.embedded_url(chosen.state_dir)
    assert server_pid(chosen) == pid


def test_what_it_holds_outlives_it(chosen: Settings) -> None:
    embedded.ensure(chosen)
    with connect(chosen) as client:
        client.set("kept", "yes")
    assert embedded.stop(chosen)
    assert not embedded.stop(chosen)
    assert embedded.status(chosen).server is None
    embedded.ensure(chosen)
    with connect(chosen) as client:
        assert client.get("kept") == b"yes"


def test_after_kill_minus_nine_the_next_command_starts_it_again(chosen: Settings) -> None:
    embedded.ensure(chosen)
    first = server_pid(chosen)
    with connect(chosen) as client:
        client.set("kept", "yes")
    time.sleep(2.1)  # "everysec" promises no less
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert settings.embedded_socket(chosen.state_dir).exists(), "the socket stays behind: that is the case tested"
    embedded.ensure(chosen)
    assert server_pid(chosen) != first
    with connect(chosen) as client:
        assert client.get("kept") == b"yes"


def test_a_note_of_another_process_is_not_believed(chosen: Settings) -> None:
    """After a reboot the process ids that were written down belong to others."""
    embedded.ensure(chosen)
    embedded.stop(chosen)
    (Path(chosen.state_dir) / "redis.pid").write_text(f"{os.getpid()} another-boot/12345\n")
    (Path(chosen.state_dir) / "worker.pid").write_text(f"{os.getpid()} another-boot/12345\n")
    assert embedded.status(chosen) == embedded.Status(None, None, settings.embedded_url(chosen.state_dir))
    assert not embedded.stop_worker(chosen), "it would have ended this very process"
    assert not embedded.stop(chosen)
    embedded.ensure(chosen)
    assert server_pid(chosen) != os.getpid()


def test_of_commands_that_come_at_once_one_starts_it(chosen: Settings) -> None:
    program = (
        "import os, pathlib; from opsrunner import embedded, processes, settings; "
        "chosen = settings.load(os.environ, pathlib.Path('/')); embedded.ensure(chosen); "
        "print(embedded.status(chosen).server)"
    )

    def ensure(_: int) -> str:
        environment = {"OPSRUNNER_STATE_DIR": chosen.state_dir, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.strip()

    with ThreadPoolExecutor(6) as pool:
        pids = set(pool.map(ensure, range(6)))
    assert pids == {str(server_pid(chosen))}


def test_a_long_state_directory_gets_a_short_private_socket(tmp_path: Path) -> None:
    state = tmp_path / ("long" * 30)
    chosen = settings.load({"OPSRUNNER_STATE_DIR": str(state)}, tmp_path)
    socket = settings.embedded_socket(chosen.state_dir)
    assert socket.parent.parent == Path("/tmp")
    try:
        embedded.ensure(chosen)
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        with connect(chosen) as client:
            assert client.ping()
    finally:
        embedded.stop(chosen)
    assert not socket.parent.exists(), "nothing is left in /tmp"


def test_a_trap_in_the_place_of_the_short_folder_is_refused(tmp_path: Path) -> None:
    chosen = settings.load({"OPSRUNNER_STATE_DIR": str(tmp_path / ("trap" * 30))}, tmp_path)
    folder = settings.embedded_socket(chosen.state_dir).parent
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    try:
        with pytest.raises(BrokerUnavailable, match="is not ours"):
            embedded.ensure(chosen)
        assert list((tmp_path / "theirs").iterdir()) == []
    finally:
        folder.unlink()


def test_a_state_directory_that_others_could_write_is_closed(tmp_path: Path, chosen: Settings) -> None:
    Path(chosen.state_dir).mkdir()
    Path(chosen.state_dir).chmod(0o777)
    embedded.ensure(chosen)
    assert stat.S_IMODE(Path(chosen.state_dir).stat().st_mode) == 0o700


def test_a_server_that_does_not_start_says_why(chosen: Settings) -> None:
    data = Path(chosen.state_dir) / "redis"
    data.mkdir(parents=True)
    broken = data / "appendonly.aof"
    if embedded.server_version(embedded.find_server()) >= (7, 0):
        broken = data / "appendonlydir" / "appendonly.aof.manifest"
        broken.parent.mkdir()
    broken.write_bytes(b"this is no append-only file\n" * 10)
    with pytest.raises(BrokerUnavailable, match="does not start") as caught:
        embedded.ensure(chosen)
    assert str(Path(chosen.state_dir) / "redis.log") in (caught.value.remedy or "")
    assert caught.value.exit_code == 69


def test_using_it_is_noted(chosen: Settings) -> None:
    assert embedded.last_used(chosen) == 0.0
    before = time.time()
    embedded.ensure(chosen)
    assert abs(embedded.last_used(chosen) - before) < 30
    os.utime(Path(chosen.state_dir) / "used", (1000, 1000))
    assert embedded.last_used(chosen) == 1000.0
    embedded.ensure(chosen)
    assert embedded.last_used(chosen) >= before - 1


def test_a_server_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert embedded.server_version(str(old)) == (5, 0)
    assert embedded.find_server() != str(old)


# ---------------------------------------------------------------------- the worker and the verbs
def opsrunner(chosen: Settings, *words: str, code: int = 0, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSRUNNER_", "CELERY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "opsrunner", *words],
        cwd=Path(chosen.state_dir).parent,
        env={**kept, "OPSRUNNER_STATE_DIR": chosen.state_dir, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_up_status_down(chosen: Settings) -> None:
    assert "not running" in opsrunner(chosen, "status")
    assert embedded.status(chosen).server is None, "looking starts nothing"
    opsrunner(chosen, "up")
    first = embedded.status(chosen)
    assert first.server
    assert first.worker
    opsrunner(chosen, "up")
    assert embedded.status(chosen) == first, "the second up starts nothing"
    found = json.loads(opsrunner(chosen, "status", "--json"))
    assert found["redis"]["pid"] == first.server
    assert [worker["pid"] for worker in found["workers"]] == [first.worker]
    assert found["runs"] == []
    opsrunner(chosen, "down")
    assert embedded.status(chosen) == embedded.Status(None, None, settings.embedded_url(chosen.state_dir))
    assert [pid for pid in (first.server, first.worker) if processes.look(pid)] == []
    assert "did not run" in opsrunner(chosen, "down")


def test_both_end_by_themselves_when_nobody_uses_them(chosen: Settings) -> None:
    opsrunner(chosen, "up", OPSRUNNER_IDLE_MINUTES="0.05")
    first = embedded.status(chosen)
    deadline = time.monotonic() + 60
    while any(pid and processes.look(pid) for pid in (first.server, first.worker)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert embedded.status(chosen) == embedded.Status(None, None, settings.embedded_url(chosen.state_dir))
    assert not (Path(chosen.state_dir) / "worker.pid").exists(), "a worker that is ending is taken for none"
    assert "Redis   started" in opsrunner(chosen, "up")


def test_with_a_broker_configured_nothing_embedded_is_started(chosen: Settings) -> None:
    for verb in ("up", "down"):
        assert "a broker is configured" in opsrunner(chosen, verb, code=64, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert "127.0.0.1" in opsrunner(chosen, "workers", code=69, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert embedded.status(chosen).server is None


def test_keygen_makes_one_key_and_never_another(chosen: Settings) -> None:
    opsrunner(chosen, "keygen")
    before = Path(chosen.key_file).read_bytes()
    assert "already" in opsrunner(chosen, "keygen", code=65)
    assert Path(chosen.key_file).read_bytes() == before


def test_doctor_starts_nothing_and_says_what_to_mend(chosen: Settings) -> None:
    said = opsrunner(chosen, "doctor")
    assert "PROBLEM" not in said
    assert embedded.status(chosen).server is None
    opsrunner(chosen, "keygen")
    Path(chosen.key_file).chmod(0o644)
    said = opsrunner(chosen, "doctor", code=1)
    assert f"try: chmod 600 {chosen.key_file}" in said
    assert said.count("PROBLEM") == 1

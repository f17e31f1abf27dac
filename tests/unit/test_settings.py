"""Settings: what wins over what, what follows from what, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opsrunner.errors import InputError, InputErrors
from opsrunner.settings import PROCESS_VARIABLES, Settings, embedded_socket, embedded_url, load, variable

REPOSITORY = Path(__file__).parents[2]
HOME = {"HOME": "/home/ada"}


def write(folder: Path, text: str) -> Path:
    file = folder / "celeryconfig.py"
    file.write_text(text)
    return file


def refused(environment: dict[str, str], folder: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load(HOME | environment, folder)
    return caught.value


# ---------------------------------------------------------------------- what wins
def test_without_anything_the_embedded_server_is_used(tmp_path: Path) -> None:
    settings = load(HOME, tmp_path)
    assert settings.state_dir == "/home/ada/.local/state/opsrunner"
    assert settings.key_file == "/home/ada/.local/state/opsrunner/key"
    assert settings.broker_url is None
    assert settings.ledger_url == "redis+socket:///home/ada/.local/state/opsrunner/redis.sock"
    assert (settings.shard_size, settings.sessions, settings.forks, settings.output_limit) == (500, 100, None, 2**22)


def test_the_block_wins_over_the_default_and_the_environment_over_the_block(tmp_path: Path) -> None:
    write(tmp_path, "opsrunner = {'shard_size': 7, 'connect_timeout': 3, 'forks': 4, 'key_file': '/etc/key'}")
    settings = load(HOME | {"OPSRUNNER_SHARD_SIZE": "9", "OPSRUNNER_FORKS": ""}, tmp_path)
    assert settings.shard_size == 9
    assert settings.connect_timeout == 3.0
    assert settings.forks == 4, "an empty variable counts as unset"
    assert settings.key_file == "/etc/key"


def test_celery_urls_come_from_its_own_names(tmp_path: Path) -> None:
    write(tmp_path, "broker_url = 'redis://configured/1'\nresult_backend = 'redis://configured/2'")
    assert load(HOME, tmp_path).broker_url == "redis://configured/1"
    assert load(HOME, tmp_path).ledger_url == "redis://configured/2"
    environment = HOME | {"CELERY_BROKER_URL": "redis://typed/3", "CELERY_RESULT_BACKEND": "redis://typed/4"}
    assert load(environment, tmp_path).broker_url == "redis://typed/3"
    assert load(environment, tmp_path).ledger_url == "redis://typed/4"
    assert load(environment | {"OPSRUNNER_LEDGER_URL": "redis://ledger/5"}, tmp_path).ledger_url == "redis://ledger/5"


def test_the_brokers_redis_is_the_ledger_where_no_backend_is_set(tmp_path: Path) -> None:
    assert load(HOME | {"CELERY_BROKER_URL": "rediss://one:6380/0"}, tmp_path).ledger_url == "rediss://one:6380/0"
    error = refused({"CELERY_BROKER_URL": "redis://one/0", "CELERY_RESULT_BACKEND": "rpc://"}, tmp_path)
    assert "results cannot be kept in rpc" in str(error)


def test_a_broker_that_is_no_redis_needs_a_ledger(tmp_path: Path) -> None:
    error = refused({"CELERY_BROKER_URL": "amqp://rabbit//"}, tmp_path)
    assert "no Redis for the ledger" in str(error)
    assert "OPSRUNNER_LEDGER_URL" in (error.remedy or "")
    environment = {"CELERY_BROKER_URL": "amqp://rabbit//", "OPSRUNNER_LEDGER_URL": "redis://ledger/0"}
    assert load(HOME | environment, tmp_path).ledger_url == "redis://ledger/0"


def test_a_ledger_without_a_broker_is_refused(tmp_path: Path) -> None:
    assert "without a broker" in str(refused({"OPSRUNNER_LEDGER_URL": "redis://ledger/0"}, tmp_path))


def test_the_shipped_celeryconfig_means_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CELERY_", "OPSRUNNER_")):
            monkeypatch.delenv(name)
    assert load(os.environ, REPOSITORY).broker_url is None
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://broker/0")
    assert load(os.environ, REPOSITORY).broker_url == "redis://broker/0"


# ---------------------------------------------------------------------- folders
def test_xdg_state_home_is_honoured_unless_it_is_relative(tmp_path: Path) -> None:
    assert load(HOME | {"XDG_STATE_HOME": "/var/state"}, tmp_path).state_dir == "/var/state/opsrunner"
    assert load(HOME | {"XDG_STATE_HOME": "state"}, tmp_path).state_dir == "/home/ada/.local/state/opsrunner"


def test_folders_are_made_absolute(tmp_path: Path) -> None:
    settings = load(HOME | {"OPSRUNNER_STATE_DIR": "~/there", "OPSRUNNER_KEY_FILE": "keys/one"}, tmp_path)
    assert settings.state_dir == "/home/ada/there"
    assert settings.key_file == f"{tmp_path}/keys/one"


@pytest.mark.parametrize("state", ["/x" * 60, "/tmp/a b", "/tmp/å", "/tmp/a?b"])
def test_a_socket_that_no_url_or_kernel_takes_lies_in_a_short_folder(state: str) -> None:
    socket = embedded_socket(state)
    assert len(str(socket)) < 100
    assert re.fullmatch(rf"/tmp/opsrunner-{os.getuid()}-[0-9a-f]{{16}}/redis\.sock", str(socket))
    assert embedded_socket(state) == socket
    assert embedded_socket(f"{state}/other") != socket
    assert embedded_url(state) == f"redis+socket://{socket}"


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("OPSRUNNER_SHARDSIZE", "OPSRUNNER_SHARD_SIZE"),
        ("OPSRUNNER_STATEDIR", "OPSRUNNER_STATE_DIR"),
        ("OPSRUNNER_ZONE", "OPSRUNNER_ZONES"),
        ("OPSRUNNER_BROKER_URL", "CELERY_BROKER_URL"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(tmp_path: Path, name: str, near: str) -> None:
    error = refused({name: "1"}, tmp_path)
    assert name in str(error)
    assert near in (error.remedy or "")


def test_variables_of_processes_are_no_settings(tmp_path: Path) -> None:
    assert load(HOME | dict.fromkeys(PROCESS_VARIABLES, "whatever"), tmp_path) == load(HOME, tmp_path)


def test_a_key_of_the_block_is_refused_where_it_stands(tmp_path: Path) -> None:
    file = write(tmp_path, "x = 1\nopsrunner = {\n    'shard_size': 5,\n    'session': 3,\n}\n")
    error = refused({}, tmp_path)
    assert "'session'" in str(error)
    assert "sessions" in (error.remedy or "")
    assert (error.place and (error.place.file, error.place.line, error.place.column)) == (str(file), 4, 5)


def test_celerys_own_words_do_not_belong_in_the_block(tmp_path: Path) -> None:
    write(tmp_path, "opsrunner = {'broker_url': 'redis://x'}")
    assert "outside of the block" in (refused({}, tmp_path).remedy or "")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Yes", True), ("1", True), ("off", False), ("", True)])
def test_what_is_on_or_off(tmp_path: Path, text: str, value: bool) -> None:
    assert load({**HOME, "OPSRUNNER_SSH_SHELL": text}, tmp_path).ssh_shell is value
    write(tmp_path, f"opsrunner = {{'ssh_shell': {value}}}")
    assert load(HOME, tmp_path).ssh_shell is value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OPSRUNNER_SHARD_SIZE", "many"),
        ("OPSRUNNER_SHARD_SIZE", "2.5"),
        ("OPSRUNNER_SHARD_SIZE", "0"),
        ("OPSRUNNER_SESSIONS", "-1"),
        ("OPSRUNNER_STEP_TIMEOUT", "0"),
        ("OPSRUNNER_CONNECT_TIMEOUT", "nan"),
        ("OPSRUNNER_CONNECT_TIMEOUT", "inf"),
        ("OPSRUNNER_RETENTION_DAYS", "month"),
        ("OPSRUNNER_SSH_SHELL", "maybe"),
    ],
)
def test_values_of_the_wrong_type_or_range_are_refused(tmp_path: Path, name: str, text: str) -> None:
    assert name in str(refused({name: text}, tmp_path))


@pytest.mark.parametrize("value", ["2.5", "True", "'ten'", "[1]"])
def test_values_of_the_block_are_checked_as_well(tmp_path: Path, value: str) -> None:
    write(tmp_path, f"opsrunner = {{'sessions': {value}}}")
    error = refused({}, tmp_path)
    assert "sessions" in str(error)
    assert error.place is not None


def test_a_lease_shorter_than_two_heartbeats_is_refused(tmp_path: Path) -> None:
    assert "two heartbeats" in str(refused({"OPSRUNNER_LEASE": "3"}, tmp_path))
    assert load(HOME | {"OPSRUNNER_LEASE": "3", "OPSRUNNER_HEARTBEAT": "1"}, tmp_path).lease == 3.0


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "opsrunner = {'session': 3}")
    error = refused({"OPSRUNNER_FORK": "1", "OPSRUNNER_LEASE": "soon"}, tmp_path)
    assert isinstance(error, InputErrors)
    assert len(error.errors) == 3


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a = 1\nb = = 2\n", 2, "broken celeryconfig.py"),
        ("a = 1\n\ndef fail():\n    return 1 / 0\nfail()\n", 4, "ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit"),
        ("opsrunner = 5\n", 1, "no dict"),
        ("broker_url = 5\n", 1, "no URL"),
    ],
)
def test_a_broken_celeryconfig_is_told_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    file = write(tmp_path, text)
    error = refused({}, tmp_path)
    assert said in str(error)
    assert error.place is not None
    assert (error.place.file, error.place.line) == (str(file), line)


def test_celeryconfig_imports_from_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_celeryconfig.py").write_text("LIMIT = 12\n")
    write(tmp_path, "import beside_celeryconfig\nopsrunner = {'forks': beside_celeryconfig.LIMIT}\n")
    before = sys.path.copy()
    try:
        assert load(HOME, tmp_path).forks == 12
        assert sys.path == before
    finally:
        sys.modules.pop("beside_celeryconfig", None)


# ---------------------------------------------------------------------- what is promised of the module
def test_every_setting_says_what_it_is_for_and_is_documented() -> None:
    documented = (REPOSITORY / "docs" / "settings.md").read_text()
    for field in dataclasses.fields(Settings):
        help = field.metadata["help"]
        assert help.endswith("."), field.name
        assert "\n" not in help, field.name
        assert f"`{field.name}`" in documented, f"{field.name} is not in docs/settings.md"
    for name in PROCESS_VARIABLES:
        assert f"`{name}`" in documented, f"{name} is not in docs/settings.md"
    assert variable("forks") == "OPSRUNNER_FORKS"
    assert variable("broker_url") == "CELERY_BROKER_URL"


def test_reading_settings_imports_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import os, pathlib; from opsrunner.settings import load; "
        "load({'HOME': '/'}, pathlib.Path('/')); print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"celery", "kombu", "redis", "paramiko", "cryptography", "click", "yaml", "jinja2", "rich", "asyncio"}
    assert heavy.isdisjoint(done.stdout.split())

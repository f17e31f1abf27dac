"""Random words after every verb, random settings: an exit code that is documented, and never a traceback."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import settings
from opsrunner.cli import context, main
from opsrunner.settings import PROCESS_VARIABLES, Settings, variable
from tests.unit.fuzz.profile import fuzzed, judged

#: Verbs that would start servers or wait for them: only their help and their faults are tried.
STARTING = ("worker", "beat", "web", "up", "demo")
DOCUMENTED = {0, 2, 4, 6, 8, 10, 12, 14, 64, 65, 69, 99}

OPTIONS = (
    *("-i -l -e -t --skip-tags -C -D --check -f --forks --detach --wait-for-workers --output -v -vvv -u --private-key".split()),
    *("-k -b --become-user --become-method -K --connect-timeout --allow-empty --timeout --fold --no-fold --json --yaml".split()),
    *("--export --vars --limit --host --step --follow --wait --html --junit --force -n --count -- --nosuch -x -h --help".split()),
)
VALUES = (
    *("site.yml", "hosts.yml", "nope.yml", "schedules.yml", ".", "/", "/dev/null", "/dev/zero", "~nobody-here/x", "a" * 300, ""),
    *("all", "web", "web1", "web1,", "web[1:3]", "web[0:999999999999999999999]", "!web", "&", "~(", "~a{99999999999}", "@hosts.yml"),
    *("@/dev/zero", "@nope", "a=b", "a=", "=", "{}", "[1]", '{"a": "\\ud800"}', "{a: [", "0", "1", "-1", "9" * 30, "9" * 5000, "nan"),
    *("inf", "-inf", "1e999", "1.5", "30s", "-5m", "5 m", "1d", "live", "json", "jsonl", "plain", "sudo", "last", "x:plan", "260101-1"),
    *("list", "graph", "host", "hosts", "next", "run", "nightly", "\udcff", "é\u202e\x1b[2J", "\n", "web[01-99999999]", "web[1-3],db"),
)  # fmt: skip
WORDS = st.lists(st.sampled_from(OPTIONS) | st.sampled_from(VALUES) | st.text(max_size=5), max_size=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to type in: a playbook, an inventory, schedules, and a broker that nobody listens at."""
    made = tmp_path_factory.mktemp("typing")
    (made / "hosts.yml").write_text("all: {children: {web: {hosts: {'web[1:3]': }}}}\n")
    (made / "site.yml").write_text("- hosts: web\n  gather_facts: false\n  tasks: [{command: uptime}]\n")
    (made / "schedules.yml").write_text("- {name: nightly, cron: '0 2 * * *', playbook: site.yml}\n")
    return made


@pytest.fixture
def typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("OPSRUNNER_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@fuzzed(500)
@given(verb=st.sampled_from([*(set(main.VERBS) - set(STARTING)), "", "nosuch"]), words=WORDS)
def test_whatever_is_typed(typed: Path, capsys: pytest.CaptureFixture[str], verb: str, words: list[str]) -> None:
    context.settings.cache_clear()
    begin = time.process_time()
    code = main.run([verb, *words])
    said = capsys.readouterr()
    assert code in DOCUMENTED, said.err
    assert "Traceback" not in said.err
    assert "unexpected error" not in said.err
    assert said.err.strip() or code == 0
    assert time.process_time() - begin < 2.0


@fuzzed(200)
@given(verb=st.sampled_from(["plan", "run", "exec", "inventory", "schedule"]), words=WORDS, more=WORDS)
def test_faults_in_words_that_begin_well(
    typed: Path, capsys: pytest.CaptureFixture[str], verb: str, words: list[str], more: list[str]
) -> None:
    context.settings.cache_clear()
    begin = {
        "plan": ["plan", "site.yml", "-i", "hosts.yml"],
        "run": ["run", "site.yml", "-i", "hosts.yml"],
        "exec": ["exec", "web", "-i", "hosts.yml"],
        "inventory": ["inventory", "hosts", "-i", "hosts.yml"],
        "schedule": ["schedule", "next", "nightly"],
    }
    code = main.run([*begin[verb], *words, *(["--", *more] if verb == "exec" else [])])
    said = capsys.readouterr()
    assert code in DOCUMENTED, said.err
    assert "Traceback" not in said.err


@fuzzed(100)
@given(verb=st.sampled_from(STARTING), words=WORDS)
def test_verbs_that_start_servers_refuse_what_is_wrong(
    typed: Path, capsys: pytest.CaptureFixture[str], verb: str, words: list[str]
) -> None:
    context.settings.cache_clear()
    # An option that there is not ends every line, so that nothing is started.
    code = main.run([verb, *[word for word in words if word != "--"], "--no-such-option"])
    assert code in {0, 64}, capsys.readouterr().err


NAMES = [variable(name) for name in Settings.__dataclass_fields__] + list(PROCESS_VARIABLES)
NAMES += ["OPSRUNNER_NOPE", "OPSRUNNER_", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "HOME", "XDG_STATE_HOME"]
URLS = ("redis://", "redis://x:99999999", "redis://[::1", "redis://:p@h/0", "amqp://", "unix:///x", ";", "redis://a;redis://b", "http://x")
SETTINGS = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from([*(text for text in VALUES if "\0" not in text), *URLS]) | st.text(max_size=6)
)
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | st.integers(4, 9).map(lambda number: 10 ** (number * 1000)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*Settings.__dataclass_fields__, "x"]), inner),
    max_leaves=6,
)


@fuzzed(300)
@given(environment=SETTINGS)
def test_settings_of_the_environment_are_taken_or_refused(folder: Path, environment: dict[str, str]) -> None:
    with judged():
        found = settings.load(environment, folder)
        assert os.path.isabs(found.state_dir)
        assert found.ledger_url


@fuzzed(200)
@given(block=LITERALS, broker=LITERALS, text=st.binary(max_size=20))
def test_settings_of_celeryconfig_are_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, block: object, broker: object, text: bytes
) -> None:
    written = folder / "configured"
    written.mkdir(exist_ok=True)
    names = {"block": block, "broker": broker}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.fuzzed_names", names, raising=False)
        code = b"import builtins\nopsrunner = builtins.fuzzed_names['block']\nbroker_url = builtins.fuzzed_names['broker']\n"
        (written / "celeryconfig.py").write_bytes(code)
        with judged():
            settings.load({"HOME": "/"}, written)
        (written / "celeryconfig.py").write_bytes(text)
        with judged():
            settings.load({"HOME": "/"}, written)

"""Random words after every verb, random settings: an exit code that is documented, and never a traceback."""

from __future__ import annotations

import io
import time
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import settings
from opsrunner.cli import main
from opsrunner.settings import PROCESS_VARIABLES, Settings, variable
from tests.unit.fuzz.profile import SECONDS, fuzzed, judged

# Whoever has no terminal types a password all the same.
pytestmark = pytest.mark.filterwarnings("ignore::getpass.GetPassWarning")

#: Verbs that would start servers or wait for them: only their help and their faults are tried.
STARTING = ("worker", "beat", "web", "up", "demo")
DOCUMENTED = {0, 2, 4, 6, 8, 10, 12, 14, 64, 65, 69, 99}

OPTIONS = (
    *(
        [
            "-i",
            "-l",
            "-e",
            "-t",
            "--skip-tags",
            "-C",
            "-D",
            "--check",
            "-f",
            "--forks",
            "--detach",
            "--wait-for-workers",
            "--output",
            "-v",
            "-vvv",
            "-u",
            "--private-key",
        ]
    ),
    *(
        [
            "-k",
            "-b",
            "--become-user",
            "--become-method",
            "-K",
            "--connect-timeout",
            "--allow-empty",
            "--timeout",
            "--fold",
            "--no-fold",
            "--json",
            "--yaml",
        ]
    ),
    *(
        [
            "--export",
            "--vars",
            "--limit",
            "--host",
            "--step",
            "--follow",
            "--wait",
            "--html",
            "--junit",
            "--force",
            "-n",
            "--count",
            "--",
            "--nosuch",
            "-x",
            "-h",
            "--help",
        ]
    ),
)
VALUES = (
    *(
        "site.yml",
        "hosts.yml",
        "nope.yml",
        "schedules.yml",
        ".",
        "/",
        "/dev/null",
        "/dev/zero",
        "~nobody-here/x",
        "a" * 300,
        "",
    ),
    *(
        "all",
        "web",
        "web1",
        "web1,",
        "web[1:3]",
        "web[0:999999999999999999999]",
        "!web",
        "&",
        "~(",
        "~a{99999999999}",
        "@hosts.yml",
    ),
    *(
        "@/dev/zero",
        "@nope",
        "a=b",
        "a=",
        "=",
        "{}",
        "[1]",
        '{"a": "\\ud800"}',
        "{a: [",
        "0",
        "1",
        "-1",
        "9" * 30,
        "9" * 5000,
        "nan",
    ),
    *(
        "inf",
        "-inf",
        "1e999",
        "1.5",
        "30s",
        "-5m",
        "5 m",
        "1d",
        "live",
        "json",
        "jsonl",
        "plain",
        "sudo",
        "last",
        "x:plan",
        "260101-1",
    ),
    *(
        "list",
        "graph",
        "host",
        "hosts",
        "next",
        "run",
        "nightly",
        "\udcff",
        "é\u202e\x1b[2J",
        "\n",
        "web[01-99999999]",
        "web[1-3],db",
    ),
)
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
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return folder


def judged_line(line: list[str], capture: pytest.CaptureFixture[str]) -> None:
    """Type it: a documented exit code, in time, and words on stderr wherever something is wrong."""
    begin = time.process_time()
    code = main.run(line)
    said = capture.readouterr()
    assert code in DOCUMENTED or (code == 1 and line[0] == "doctor"), said.err
    assert "Traceback" not in said.err
    assert "unexpected error" not in said.err
    assert said.err.strip() or code in (0, 1)
    assert time.process_time() - begin < SECONDS


def some_words(command: click.Command) -> st.SearchStrategy[list[str]]:
    """Words that the verb takes, in number and kind if not in meaning."""
    if isinstance(command, click.Group):
        inner = {name: some_words(one) for name, one in command.commands.items()}
        return st.sampled_from(sorted(inner)).flatmap(lambda name: inner[name].map(lambda words: [name, *words]))
    first, last = st.just([]), st.just([])
    options: list[st.SearchStrategy[list[str]]] = []
    for parameter in command.params:
        values = st.sampled_from(VALUES)
        if isinstance(parameter.type, click.Choice):
            values |= st.sampled_from(list(parameter.type.choices))
        values |= st.sampled_from(GOOD.get(parameter.name or "", VALUES))
        if isinstance(parameter, click.Option):
            name = st.sampled_from([*parameter.opts, *parameter.secondary_opts])
            options.append(
                st.tuples(name).map(list) if parameter.is_flag or parameter.count else st.tuples(name, values).map(list)
            )
        elif parameter.nargs == -1:
            last = st.lists(values, max_size=3).map(lambda words: ["--", *words])
        else:
            first = st.builds(lambda words, value: [*words, value], first, values)
    some = st.lists(st.one_of(options), max_size=4) if options else st.just([])
    return st.builds(
        lambda one, two, three: [*one, *(word for words in two for word in words), *three], first, some, last
    )


#: What is right for a parameter, so that the others are looked at too.
GOOD = {
    "playbook": ["site.yml"],
    "inventories": ["hosts.yml", "web1,"],
    "pattern": ["all", "web"],
    "run": ["last"],
    "name": ["nightly", "web1"],
    "group": ["web"],
}
VERBS = sorted(set(main.VERBS) - set(STARTING))
COMMAND_LINES = st.sampled_from(VERBS).flatmap(
    lambda verb: some_words(main.command.get_command(None, verb)).map(lambda words: [verb, *words])  # type: ignore[arg-type]
)


@fuzzed(200)
@given(line=COMMAND_LINES)
def test_words_that_a_verb_takes(typed: Path, capfd: pytest.CaptureFixture[str], line: list[str]) -> None:
    judged_line(line, capfd)


@fuzzed(100)
@given(verb=st.sampled_from([*VERBS, "", "nosuch"]), words=WORDS)
def test_whatever_is_typed(typed: Path, capfd: pytest.CaptureFixture[str], verb: str, words: list[str]) -> None:
    judged_line([verb, *words], capfd)


@fuzzed(50)
@given(verb=st.sampled_from(STARTING), words=WORDS)
def test_verbs_that_start_servers_refuse_what_is_wrong(
    typed: Path, capfd: pytest.CaptureFixture[str], verb: str, words: list[str]
) -> None:
    # An option that there is not ends every line, so that nothing is started.
    judged_line([verb, *[word for word in words if word != "--"], "--no-such-option"], capfd)


NAMES = [variable(name) for name in Settings.__dataclass_fields__] + list(PROCESS_VARIABLES)
NAMES += ["OPSRUNNER_NOPE", "OPSRUNNER_", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "HOME", "XDG_STATE_HOME"]
URLS = (
    "redis://",
    "redis://x:99999999",
    "redis://[::1",
    "redis://:p@h/0",
    "amqp://",
    "unix:///x",
    ";",
    "redis://a;redis://b",
    "http://x",
)
SETTINGS = st.dictionaries(
    st.sampled_from(NAMES),
    st.sampled_from([*(text for text in VALUES if "\0" not in text), *URLS]) | st.text(max_size=6),
)
LARGE = st.sampled_from(range(4, 9)).map(lambda size: 10 ** (size * 1000))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | LARGE
FIELDS = st.sampled_from([*Settings.__dataclass_fields__, "x"])
LITERALS = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(FIELDS | PLAIN, PLAIN | st.lists(PLAIN))


@fuzzed(150)
@given(environment=SETTINGS)
def test_settings_of_the_environment_are_taken_or_refused(folder: Path, environment: dict[str, str]) -> None:
    with judged():
        found = settings.load(environment, folder)
        assert Path(found.state_dir).is_absolute()
        assert found.ledger_url


@fuzzed(80)
@given(block=LITERALS, broker=LITERALS, text=st.binary(max_size=20))
def test_settings_of_celeryconfig_are_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, block: object, broker: object, text: bytes
) -> None:
    written = folder / "configured"
    written.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.fuzzed_names", {"block": block, "broker": broker}, raising=False)
        names = "from builtins import fuzzed_names as given"
        code = f"{names}\nopsrunner, broker_url = given['block'], given['broker']\n"
        (written / "celeryconfig.py").write_text(code)
        with judged():
            settings.load({"HOME": "/"}, written)
        (written / "celeryconfig.py").write_bytes(text)
        with judged():
            settings.load({"HOME": "/"}, written)

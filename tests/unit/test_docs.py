"""The documents say what the code does: nothing that is accepted is missing in them, nothing in them is gone."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from opsrunner import errors, inventory, modules, yamlsource
from opsrunner.cli.main import VERBS, command
from opsrunner.inventory.connection import connection
from opsrunner.ledger import records
from opsrunner.notify import load as notifiers
from opsrunner.notify import message, model
from opsrunner.notify.facts import samples
from opsrunner.output.document import document
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
from opsrunner.playbook import keywords
from opsrunner.schedule import entry
from opsrunner.schedule import load as schedules
from opsrunner.settings import PROCESS_VARIABLES, Settings
from opsrunner.templating import filters, lookups, tests
from tests.module_reference import PAGE, rewritten

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in (".", "docs", "deploy", "benchmarks") for path in (ROOT / folder).glob("*.md"))
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}

#: What the playbooks in the documents speak of.
HOSTS = """\
all:
  children:
    web: {hosts: {"web[1:4]": }}
    db: {hosts: {"db[1:2]": }}
    canary: {hosts: {web1: }}
"""
FILES = (
    "vars/services/web.yml",
    "files/motd",
    "files/site/index.html",
    "files/setup.sh",
    "files/report.py",
    "templates/app.conf.j2",
    *("vars/common.yml", "vars/Debian.yml", "vars/default.yml"),
    "extra.yml",
    "nightly.yml",
    "roles/web/tasks/reload.yml",
    *("playbooks/restart.yml", "playbooks/healthcheck.yml", "inventory/hosts.yml"),
)


def blocks(language: str) -> list[Any]:
    """(page, text) of every fenced block in that language."""
    return [
        pytest.param(name, block, id=f"{name}-{number}")
        for name, text in TEXTS.items()
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))
    ]


def cells(text: str) -> list[list[str]]:
    """The rows of the first table in ``text``, without its head."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("| "):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", text))


def first_cells(text: str) -> set[str]:
    return {name for row in cells(text) for name in quoted(row[0])}


def after(marker: str, page: str = "docs/playbooks.md") -> str:
    found = TEXTS[page].partition(marker)
    assert found[1], f"{page} lacks {marker}"
    return found[2]


# ------------------------------------------------------------------ the command line


def parse(words: list[str]) -> None:
    """Parse what is typed after ``opsrunner``, without doing it. Raises click.UsageError."""
    context = click.Context(command, info_name="opsrunner")
    found: click.Command | None = command
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        name, found, words = found.resolve_command(context, words)
        context = click.Context(found or command, info_name=name, parent=context)
    if found is not None:
        try:
            found.make_context(context.info_name, list(words), parent=context.parent)
        except click.exceptions.Exit:
            pass  # --help and --version


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each ``opsrunner …`` in lines of shell."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((at for at, word in enumerate(words) if word in ("|", "&&", ";", ">")), len(words))
            if words[0].rpartition("/")[2] == "opsrunner":
                yield words[1:end]
            words = words[end + 1 :]


def test_slips_are_found() -> None:
    parse(["run", "site.yml", "--check"])
    for words in (["rnu", "site.yml"], ["run", "site.yml", "--chekc"], ["inventory", "grpah"], ["run"]):
        with pytest.raises(click.UsageError):
            parse(words)


@pytest.mark.parametrize("verb", VERBS)
def test_readme_names_the_verb(verb: str) -> None:
    table = "".join(row[0] for row in cells(after("## Verbs", "README.md")))
    assert re.search(rf"`{verb}\b", table)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_that_can_be_typed(verb: str) -> None:
    found = command.get_command(click.Context(command), verb)
    assert found is not None
    said = found.epilog or found.help or ""
    examples = re.split(r"Examples?:", said, maxsplit=1)
    assert len(examples) == 2, f"opsrunner {verb} --help gives no example"
    typed = list(commands_in(examples[1].replace(" · ", "\n")))
    assert any(words[0] == verb for words in typed)
    for words in typed:
        parse(words)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does(verb: str) -> None:
    found = command.get_command(click.Context(command), verb)
    assert found is not None
    for one in (found, *(found.commands.values() if isinstance(found, click.Group) else ())):
        assert one.help
        options = [option for option in one.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not (option.help or option.hidden)] == []


@pytest.mark.parametrize(("name", "block"), blocks("sh"))
def test_commands_in_documents_can_be_typed(name: str, block: str) -> None:
    for words in commands_in(block):
        parse(words)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_commands_in_playbooks_can_be_typed(path: Path) -> None:
    typed = re.findall(r"^#   (opsrunner .*?)(?:  .*)?$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert typed, "a playbook begins with how it is run"
    for words in commands_in("\n".join(typed)):
        parse(words)


def test_exit_codes() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    used = {value.exit_code for value in classes if issubclass(value, errors.OpsrunnerError)}
    used |= {0, records.EXIT_FAILED, records.EXIT_UNREACHABLE, records.EXIT_LOST, records.EXIT_CANCELLED}
    assert {int(row[0]) for row in cells(after("## Exit codes", "docs/output.md"))} == used
    for code in used:
        assert re.search(rf"\b{code}\b", after("Exit codes:", "README.md")[:300])


# ------------------------------------------------------------------ playbooks


def test_modules_are_documented_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "python -m tests.module_reference writes the modules' part anew"


@pytest.mark.parametrize("on", ["play", "gate", "block", "task", "loop_control", "include"])
def test_keywords(on: keywords.On) -> None:
    assert first_cells(after(f"<!-- keywords: {on} -->")) == keywords.known(on)


def test_keywords_of_handlers() -> None:
    more = first_cells(after("<!-- keywords: handler -->"))
    assert more | keywords.known("task") == keywords.known("handler")


def test_refused_keywords_are_told() -> None:
    refused = {name for names in keywords.REFUSED.values() for name in names}
    assert refused - quoted(TEXTS["docs/playbooks.md"]) == set()


@pytest.mark.parametrize(
    ("marker", "names"),
    [
        (
            "filters",
            {name for name in filters.all_filters() if not name.startswith("ansible.")},
        ),
        ("refused filters", set(filters.REFUSED)),
        ("tests", set(tests.all_tests())),
        ("refused tests", set(tests.REFUSED)),
        ("lookups", set(lookups.LOOKUPS)),
        ("refused lookups", set(lookups.REFUSED)),
    ],
)
def test_names_in_templates(marker: str, names: set[str]) -> None:
    assert quoted(after(f"<!-- names: {marker} -->").partition("<!-- end -->")[0]) == names


class Project:
    """A folder in which the documents' YAML is tried."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("hosts.yml", *FILES):
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HOSTS if name == "hosts.yml" else "", encoding="utf-8")

    def try_yaml(self, text: str) -> str:
        """Read it as what it is: gives playbook, tasks, schedules or inventory. Raises InputError."""
        data = yamlsource.load(text, "document")
        if isinstance(data, dict) and "schedules" in data:
            return self.try_schedules(text)
        if isinstance(data, dict) and "notifiers" in data:
            path = self.directory / "notifiers.yml"
            path.write_text(text, encoding="utf-8")
            assert notifiers.load(path)
            return "notifiers"
        if isinstance(data, dict):
            assert self.load(text).hosts
            return "inventory"
        if "hosts" in data[0]:
            self.compile(text)
            return "playbook"
        if "playbook" in data[0]:
            return self.try_schedules(text)
        self.compile(f"- hosts: all\n  gather_facts: false\n  tasks:\n{textwrap.indent(text, '    ')}")
        return "tasks"

    def try_schedules(self, text: str) -> str:
        path = self.directory / "schedules.yml"
        path.write_text(text, encoding="utf-8")
        assert schedules.load(path)
        return "schedules"

    def load(self, text: str) -> inventory.Inventory:
        path = self.directory / "other.yml"
        path.write_text(text, encoding="utf-8")
        return inventory.load([str(path)], base=self.directory)

    def compile(self, text: str) -> None:
        path = self.directory / "site.yml"
        path.write_text(text, encoding="utf-8")
        hosts = inventory.load([str(self.directory / "hosts.yml")], base=self.directory)
        compiled = compile_playbook(path, hosts, Options(), {})
        assert compiled.warnings == ()
        assert all((play.hosts or play.late) and play.steps for play in compiled.plan.plays)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(("name", "block"), blocks("yaml"))
def test_yaml_in_documents_is_accepted(name: str, block: str, project: Project) -> None:
    assert project.try_yaml(block)


def test_yaml_that_is_wrong_is_found(project: Project) -> None:
    assert project.try_yaml("- copy: src=motd dest=/etc/motd\n") == "tasks"
    with pytest.raises(errors.InputError):
        project.try_yaml("- coppy: src=motd\n")


@pytest.mark.parametrize("name", modules.names())
def test_every_module_has_examples(name: str, project: Project) -> None:
    assert project.try_yaml(modules.get(name).SPEC.examples) == "tasks"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_shipped_playbooks_compile(path: Path) -> None:
    hosts = inventory.load([str(ROOT / "inventory")], base=ROOT)
    assert all(play.hosts for play in compile_playbook(path, hosts, Options(), {}).plan.plays)


# ------------------------------------------------------------------ inventory, settings, output


class Asked(dict[str, Any]):
    """A host's variables; remembers which were asked for."""

    def __init__(self, method: str) -> None:
        super().__init__(ansible_become_method=method)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.parametrize("method", ["sudo", "su", "doas"])
def test_connection_variables(method: str) -> None:
    asked = Asked(method)
    connection("web1", asked)
    assert "ansible_host" in asked.names
    assert asked.names - quoted(TEXTS["docs/inventory.md"]) == set()


def test_keys_of_schedules() -> None:
    assert set(entry.KEYS) == first_cells(after("## Keys", "docs/schedules.md"))


def test_settings() -> None:
    page = TEXTS["docs/settings.md"]
    assert first_cells(page) == {field.name for field in dataclasses.fields(Settings)}
    assert set(PROCESS_VARIABLES) - quoted(page) == set()


def test_default_numbers_of_settings() -> None:
    rows = {row[0].strip("`"): row[1] for row in cells(TEXTS["docs/settings.md"])}
    for field in dataclasses.fields(Settings):
        if isinstance(field.default, bool):
            assert rows[field.name] == str(field.default).lower()
        elif isinstance(field.default, float | int):
            number, _, unit = rows[field.name].partition(" ")
            assert int(number) * {"": 1, "MiB": 1024 * 1024}[unit] == field.default


def test_notifiers() -> None:
    page = "docs/notifications.md"
    assert first_cells(after("## Keys of a notifier", page)) == set(notifiers.KEYS)
    assert first_cells(after("## Events", page)) == set(model.EVENTS)
    assert first_cells(after("## Mail", page)) == set(notifiers.MAIL_KEYS)
    assert first_cells(after("## Webhook", page)) == set(notifiers.WEBHOOK_KEYS)
    variables = message.compose(samples()[0], "ops").variables
    assert quoted(after("### Templates", page)) >= {*variables, *variables["run"], *variables["counts"]}


def test_events_and_counts() -> None:
    page = TEXTS["docs/output.md"]
    assert first_cells(after("## JSON lines", "docs/output.md")) == {*get_args(records.EventKind), "recap"}
    counts = first_cells(after("## Recap", "docs/output.md"))
    assert {"failures" if name == "failed" else name for name in counts} == set(records.STATS)
    assert {*records.STATUSES, *get_args(records.Mark), *get_args(records.RunStatus)} - quoted(page) == set()


def test_json_has_the_documented_shape() -> None:
    step = records.StepOutline(1, "Restart", "service", "restart.yml:8:7")
    play = records.PlayOutline(0, "Restart", ("web07",), (1,), (step,))
    run = records.RunRecord(
        "261121-054618-fd46", "failed", "restart.yml", "playbook", "me", 1.0, 1.0, 2.0, 2, 1, (play,)
    )
    result = {"changed": False, "rc": 3, "msg": "non-zero return code", "failed": True}
    outcome = records.Outcome(1, "web07", "failed", result, None, 1.0, 1.0086)
    stats = {"web07": {**records.empty_stats(), "ok": 1, "failures": 1}}
    (block,) = re.findall(r"```json\n(.*?)```", TEXTS["docs/output.md"], re.DOTALL)
    assert json.loads(block) == document(run, [outcome], stats)


# ------------------------------------------------------------------ all documents


def anchors(text: str) -> set[str]:
    """The names that headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = path.parent / name if name else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{path.name} links to {target}"


@pytest.mark.parametrize("name", TEXTS)
def test_no_path_of_a_developers_machine(name: str) -> None:
    assert not re.search(r"(?<![\w.])/(work|home/\w+|root)/", TEXTS[name])

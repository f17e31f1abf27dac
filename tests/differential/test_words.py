"""Every filter and test of ansible-core, over a table of inputs and arguments: the same value, or a failure in both.

``words.yml`` is the table. ``EXCEPTIONS`` names what differs on purpose, and why.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsrunner.plan.machine import Here, lookups
from opsrunner.templating import Layer, Scope, Templar
from opsrunner.templating import filters as filter_room
from opsrunner.templating import tests as test_room
from tests.differential.test_templating import RESULTS, VARIABLES, answer, trusted
from tests.vaulted import encrypted

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TABLE: Mapping[str, Mapping[str, Any]] = yaml.safe_load((Path(__file__).parent / "words.yml").read_text())
#: What every filter and test is given besides its own inputs.
COMMON = ("unicode", "7", "none", "true", "user", "mixed", "nowhere")

#: What templates look like in which we differ, and why.
EXCEPTIONS: Mapping[str, str] = {
    r"is (is_)?(directory|dir|file|exists|same_file)": "Ansible takes a number for an open file of its own process",
    r"(union|difference|intersect)\((none|5|'ab'|\[\[1\]\]|\[\{'a': 1\}\])\)": "Ansible asks what is hashable",
    r"list_merge='nope'": "a wrong word is told, also where nothing is merged",
    r"omit\) \| type_debug": "our own kind of object",
    r"'results': \[\]": "Ansible stumbles over a loop without items",
    r"mixed\) is (truthy|falsy)": "Ansible shows the list in an error that it passes over",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    (folder / "a.txt").write_text("some text\n")
    (folder / "link").symlink_to(folder / "a.txt")
    (folder / "broken").symlink_to(folder / "nowhere")
    (folder / "vault.yml").write_text(encrypted("secret"))
    return folder


@pytest.fixture(scope="module")
def variables(folder: Path) -> dict[str, Any]:
    return {
        **RESULTS,
        "folder": str(folder),
        "there": str(folder / "a.txt"),
        "link": str(folder / "link"),
        "broken_link": str(folder / "broken"),
        "vault_file": str(folder / "vault.yml"),
        "vaulted": encrypted("secret", "key"),
    }


@pytest.fixture(scope="module")
def theirs(variables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPLATING_TEST", "here")
        patch.delenv("TEMPLATING_NONE", raising=False)
        from ansible._internal._templating._engine import TemplateEngine
        from ansible.parsing.dataloader import DataLoader

        yield TemplateEngine(loader=DataLoader(), variables={**trusted(VARIABLES), **variables})


@pytest.fixture(scope="module")
def ours(variables: dict[str, Any], theirs: Any) -> Scope:
    templar = Templar(lookups=lookups(Here(Path.cwd()).ask, str(Path.cwd())))
    return Scope(templar, [Layer(VARIABLES, templated=True), Layer(variables)])


def templates(kind: str, name: str) -> Iterator[str]:
    """Every input with every argument."""
    case = TABLE[f"{kind}s"][name]
    arguments = case["arguments"]
    pairs = (*itertools.product(case["inputs"], arguments), *itertools.product(COMMON, arguments[:1]))
    for value, given in pairs:
        called = f"{name}({given})" if given else name
        yield f"{{{{ ({value}) | {called} }}}}" if kind == "filter" else f"{{{{ ({value}) is {called} }}}}"


def outcome(render: Any, *, in_order: bool) -> Any:
    """A value with its type; of every failure the same."""
    kind, value = answer(render)
    if kind != "value":
        return "fails"
    return value if in_order or not isinstance(value, list) else sorted(map(repr, value))


@pytest.mark.parametrize(("kind", "name"), [(kind[:-1], name) for kind in TABLE for name in TABLE[kind]])
def test_filters_and_tests_answer_alike(kind: str, name: str, ours: Scope, theirs: Any) -> None:
    in_order = not TABLE[f"{kind}s"][name].get("sorted")
    different = {}
    for template in templates(kind, name):
        mine = outcome(lambda text=template: ours._templar.render(text, ours), in_order=in_order)
        other = outcome(lambda text=template: theirs.template(trusted(text)), in_order=in_order)
        excepted = any(re.search(pattern, template) for pattern in EXCEPTIONS)
        if repr(mine) != repr(other) and not excepted:
            different[template] = (mine, other)
    assert not different, "\n".join(f"{text}\n  {mine}\n  {other}" for text, (mine, other) in different.items())


def test_nothing_of_ansibles_is_missing() -> None:
    from ansible.plugins.loader import filter_loader, test_loader

    for loader, known, refused, kind in (
        (filter_loader, filter_room.all_filters(), filter_room.REFUSED, "filters"),
        (test_loader, test_room.all_tests(), test_room.REFUSED, "tests"),
    ):
        names = {plugin.ansible_name.removeprefix("ansible.builtin.") for plugin in loader.all()}
        assert names - set(known) - set(refused) == set()
        assert not set(known) & set(refused) - {"version_compare"}
        undecided = names - set(refused) - set(TABLE[kind])
        assert undecided <= {"defined", "undefined"}, f"{kind} that words.yml does not ask for"

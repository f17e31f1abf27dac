"""Every lookup of ansible-core that we have, over a table of calls: the same answer, or a failure in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsrunner.plan.machine import Here, lookups
from opsrunner.templating import Layer, Scope, Templar
from opsrunner.templating.lookups import LOOKUPS, REFUSED
from tests.differential.test_templating import answer, trusted
from tests.vaulted import PASSWORD, encrypted

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FILES = {
    "files/motd": " some text\n\n",
    "files/a.conf": "a\n",
    "files/b.conf": "b\n",
    "files/.hidden.conf": "h\n",
    "files/users.csv": "bob,1001,adm\neve,1002,\n",
    "files/tabs.csv": "x\ty\tz\n",
    "files/app.ini": "[global]\nport = 80\nPath = %(port)s/x\n[web]\nport = 8080\nempty =\n",
    "files/app.properties": "port = 9\n",
    "files/pw": "hunter2 salt=saltsalt\n",
    "templates/hello.j2": "hi {{ name | default('you') }}\n",
    "templates/native.j2": "{{ [1, 2] }}",
    "templates/broken.j2": "{{ nowhere }}\n",
}
VARIABLES: dict[str, Any] = {
    "users": [{"name": "bob", "keys": ["k1", "k2"]}, {"name": "eve", "keys": []}, {"name": "zoe"}],
    "table": {"a": 1, "b": {"c": [1, 2]}},
    "motd": "motd",
    "broken": "{{ nowhere }}",
    "web_port": 80,
    "web_name": "x",
    "groups": {"all": ["a", "b", "c"], "web": ["a", "b"], "db": ["c"], "ungrouped": []},
}
CALLS: Mapping[str, list[str]] = yaml.safe_load((Path(__file__).parent / "lookups.yml").read_text())
#: Collections' lookups, which Ansible alone does not have.
FOREIGN = {"cartesian", "flattened", "community.general.cartesian", "community.general.flattened"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lookups")
    for name, text in {**FILES, "files/sealed": encrypted("opened\n")}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORDS_TEST", "here")
        patch.delenv("WORDS_NONE", raising=False)
        from ansible._internal._templating._engine import TemplateEngine
        from ansible.parsing.dataloader import DataLoader
        from ansible.parsing.vault import VaultSecret

        loader = DataLoader()
        loader.set_basedir(str(folder))
        loader.set_vault_secrets([("default", VaultSecret(PASSWORD.encode()))])
        variables = {**trusted(VARIABLES), "ansible_search_path": [str(folder)], "playbook_dir": str(folder)}
        yield TemplateEngine(loader=loader, variables=variables)


@pytest.fixture(scope="module")
def ours(folder: Path, theirs: Any) -> Scope:
    templar = Templar(lookups=lookups(Here(folder).ask, str(folder)))
    return Scope(templar, [Layer(VARIABLES, templated=True)])


@pytest.mark.parametrize("name", CALLS)
def test_lookups_answer_alike(
    name: str, ours: Scope, theirs: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opsrunner import vault

    monkeypatch.chdir(folder)
    different = {}
    with vault.using(vault.Vault([vault.Secret("default", PASSWORD.encode())])):
        for arguments in CALLS[name]:
            for function in ("lookup", "query"):
                template = f"{{{{ {function}('{name}'{', ' if arguments else ''}{arguments}) }}}}"
                mine, other = (_outcome(render) for render in (
                    lambda text=template: ours._templar.render(text, ours),
                    lambda text=template: theirs.template(trusted(text)),
                ))  # fmt: skip
                if repr(mine) != repr(other):
                    different[template] = (mine, other)
    assert not different, "\n".join(f"{text}\n  {mine}\n  {other}" for text, (mine, other) in different.items())


def _outcome(render: Any) -> Any:
    kind, value = answer(render)
    return value if kind == "value" else "fails"


def test_errors_and_lists_alike(ours: Scope, theirs: Any) -> None:
    for template in (
        "{{ lookup('file', 'nope', errors='ignore') }}", "{{ lookup('file', 'nope', errors='warn') }}",
        "{{ query('file', 'nope', errors='ignore') }}", "{{ lookup('file', 'nope', errors='nope') }}",
        "{{ lookup('items', [1, 2], wantlist=true) }}", "{{ lookup('items', [1]) }}", "{{ lookup('nope') }}",
        "{{ q('ansible.builtin.items', 1) }}", "{{ lookup('vars', 'nope') | default('d') }}", "{{ lookup() }}",
        "{{ lookup('items', ['a', 'b']) }}", "{{ lookup('items', ['a', 1]) }}", "{{ lookup('items', []) }}",
        "{{ ansible_managed | default('none') }}", "{{ now(utc=true, fmt='%Y') | length }}", "{{ undef(hint='x') }}",
        "{{ undef() | default('d') }}", "{{ now(fmt=5) }}", "{{ query('items') }}",
    ):  # fmt: skip
        mine = _outcome(lambda text=template: ours._templar.render(text, ours))
        other = _outcome(lambda text=template: theirs.template(trusted(text)))
        assert repr(mine) == repr(other), template


def test_nothing_of_ansibles_is_missing() -> None:
    import ansible.plugins.lookup

    there = {path.stem for path in Path(ansible.plugins.lookup.__path__[0]).glob("*.py")} - {"__init__"}
    assert there - set(LOOKUPS) - set(REFUSED) == set()
    assert set(LOOKUPS) - FOREIGN == set(CALLS)

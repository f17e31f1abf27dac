"""`inventory host --explain`, the options of the listings, warnings, and that all of it is the same each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from opsrunner.cli.main import run as opsrunner
from opsrunner.errors import InputError
from opsrunner.inventory import load
from opsrunner.inventory.explanation import as_text, explain
from opsrunner.inventory.origins import Origins

ROOT = Path(__file__).parents[3]
FILES = {
    "inv/hosts.yml": """\
all:
  vars: {port: 80, user: deploy}
  children:
    web:
      vars:
        port: 8080
        motd: "a text that is far too long for a line of a terminal, as it goes on and on and on"
      hosts:
        web1: {port: 1}
        web2:2222:
    canary:
      vars: {ansible_group_priority: 10, port: 8081}
      hosts: {web1: }
""",
    "inv/more.yml": "web: {hosts: {web1: {port: 2}}}\n",
    "inv/group_vars/web/a.yml": "port: 3\n",
    "inv/group_vars/web/b.yml": "port: 4\n",
    "inv/host_vars/web1.json": '{"port":\n5}',
    "play/group_vars/all.yml": "user: root\nuser: admin\n",
    "play/host_vars/web1.yml": "port: 6\n",
}


@pytest.fixture
def base(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    from opsrunner.cli.inventory import command

    return CliRunner().invoke(command, arguments, catch_exceptions=False)


EXPLAINED = """\
groups of web1, later ones win:
  all     depth 0
  web     depth 1
  canary  depth 1, priority 10

motd = "a text that is far too long for a line of a terminal, as it goes on and…
  from inv/hosts.yml:7:9             group web

port = 6
  from play/host_vars/web1.yml:1:1   playbook host_vars/web1
  over inv/host_vars/web1.json:1:2   host_vars/web1 = 5
  over inv/group_vars/web/b.yml:1:1  group_vars/web = 4
  over inv/group_vars/web/a.yml:1:1  group_vars/web = 3
  over inv/more.yml:1:22             host = 2
  over inv/hosts.yml:9:16            host = 1
  over inv/hosts.yml:12:42           group canary = 8081
  over inv/hosts.yml:6:9             group web = 8080
  over inv/hosts.yml:2:10            group all = 80

user = "admin"
  from play/group_vars/all.yml:2:1   playbook group_vars/all
  over inv/hosts.yml:2:20            group all = "deploy"
"""


def explained(base: Path, host: str, *sources: str, width: int | None = None) -> str:
    origins = Origins()
    inventory = load(sources or ["inv"], base=base, playbook_directory=base / "play", origins=origins)
    return "\n".join(as_text(explain(inventory, origins, host), width)) + "\n"


def test_every_value_with_its_place(base):
    # What the inventory says of a group is below all files, what it says of a host is below host_vars/.
    order = EXPLAINED.splitlines()
    moved = [line for line in order if "inv/more.yml" in line or "inv/hosts.yml:9" in line]
    rest = [line for line in order if line not in moved]
    after = next(number for number, line in enumerate(rest) if "web1.json" in line) + 1
    assert explained(base, "web1", width=80).splitlines() == [*rest[:after], *moved, *rest[after:]]


def test_where_no_file_says_it(base):
    lines = [line.split() for line in explained(base, "h", "h:22,i").splitlines()]
    assert ["from", "-", "host", "list", "h:22,i"] in lines
    assert "  from inv/hosts.yml:10:9            host\n" in explained(base, "web2")
    assert "implicit localhost" in explained(base, "localhost")


def test_the_same_folder_for_inventory_and_playbook(base):
    (base / "play/hosts.yml").write_text("web: {hosts: {web1: }}")
    assert "  from play/host_vars/web1.yml:1:1  host_vars/web1\n\n" in explained(base, "web1", "play/hosts.yml")


def test_as_json_and_by_name(base):
    found = run("host", "web1", "po*", "--explain", "--json", "-i", "inv", "--playbook-dir", "play")
    data = json.loads(found.stdout)
    assert data["host"] == "web1"
    assert data["groups"][-1] == {"name": "canary", "depth": 1, "ansible_group_priority": 10}
    assert list(data["variables"]) == ["port"]
    port = data["variables"]["port"]
    assert [port["value"], *(one["value"] for one in port["overrode"])] == [6, 5, 2, 1, 4, 3, 8081, 8080, 80]
    assert port["overrode"][0] == {
        "value": 5,
        "level": "host_vars/web1",
        "file": "inv/host_vars/web1.json",
        "line": 1,
        "column": 2,
    }
    assert json.loads(run("host", "web1", "user", "-i", "inv").stdout) == {"user": "deploy"}
    with pytest.raises(InputError) as caught:
        run("host", "web1", "prt", "-i", "inv")
    assert caught.value.remedy == "did you mean port?"


def test_the_folder_where_you_are_takes_a_playbooks_place(base, monkeypatch):
    monkeypatch.chdir(base / "play")
    assert json.loads(run("host", "web2", "user", "-i", "../inv").stdout) == {"user": "admin"}
    assert '"user": "admin"' not in run("list", "--export", "-i", "../inv").stdout
    assert '"user": "admin"' in run("list", "--export", "-i", "../inv", "--playbook-dir", ".").stdout
    assert "user = admin" in run("graph", "--vars", "-i", "../inv").stdout


def test_a_list_in_a_file_and_of_a_limit(base):
    shown = run("list", "--yaml", "-i", "inv", "-l", "web2").stdout
    assert "web1" not in shown
    assert run("list", "--yaml", "-i", "inv", "-l", "web2", "--output", "out.yml").stdout == ""
    assert (base / "out.yml").read_text() == shown
    with pytest.raises(InputError, match="cannot write nowhere/out"):
        run("list", "-i", "inv", "--output", "nowhere/out")
    with pytest.raises(InputError, match="nobody"):
        run("list", "-i", "inv", "-l", "nobody")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "--toml"], "there is no --toml: use --yaml or --json"),
        (["graph", "--limit", "web"], "there is no --limit: the graph is that of all hosts"),
        (["list", "--playbook-dir", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_options_of_ansible_inventory_that_are_refused(arguments, words):
    found = run(*arguments)
    assert (found.exit_code, words in found.output) == (2, True)


def test_text_that_is_not_ascii_is_shown_as_it_is(base):
    (base / "x.yml").write_text('all: {hosts: {ü: {a: "é☃"}}}', "utf-8")
    assert '"a": "é☃"' in run("host", "ü", "-i", "x.yml").stdout


PLAYBOOK = """\
- hosts: web1
  gather_facts: false
  vars_files: [../vars.yml]
  tasks: [{debug: {var: port}}]
"""
TWICE = "key 'a' stands twice (as in Ansible the last one counts)"


@pytest.mark.parametrize(
    "words",
    [
        ["inventory", "list", "-i", "inv"],
        ["inventory", "graph", "-i", "inv"],
        ["inventory", "hosts", "all", "-i", "inv"],
        ["inventory", "host", "web1", "-i", "inv", "--explain"],
        ["plan", "play/site.yml", "-i", "inv"],
    ],
    ids=lambda words: "_".join(words[:2]),
)
def test_every_verb_that_reads_an_inventory_tells_its_warnings(base, capfd, words):
    (base / "inv/host_vars/web2.yml").write_text("a: 1\na: 2\n")
    (base / "play/site.yml").write_text(PLAYBOOK)
    (base / "vars.yml").write_text("x: 1\n")
    assert opsrunner(words) == 0
    assert capfd.readouterr().err.count(f"warning: inv/host_vars/web2.yml:2:1: {TWICE}\n") == 1


def test_vars_files_and_extra_vars_warn_of_keys_that_stand_twice(base, capfd):
    (base / "play/site.yml").write_text(PLAYBOOK * 2)
    (base / "vars.yml").write_text("a: 1\na: 2\n")
    assert opsrunner(["plan", "play/site.yml", "-i", "inv", "-e", "@vars.yml"]) == 0
    told = capfd.readouterr().err
    assert told.count(f"warning: vars.yml:2:1: {TWICE}\n") == 1
    assert told.count(f"vars.yml:2:1: {TWICE}\n") == 2


SAME = """
import hashlib, sys
from pathlib import Path
from click.testing import CliRunner
from opsrunner import inventory
from opsrunner.cli.inventory import command
from opsrunner.plan import codec
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
for words in (["list"], ["list", "--yaml", "--export"], ["graph", "--vars"], ["hosts", "all:!web2:*"], ["host", "web1"],
              ["host", "web1", "--explain"]):
    print(CliRunner().invoke(command, [*words, "-i", "inv"], catch_exceptions=False).output)
loaded = inventory.load(["inv"], base=Path.cwd())
plan = compile_playbook(Path("play/site.yml"), loaded, Options(), {}).plan
print(hashlib.sha256(codec.encode(plan)).hexdigest())
"""


def test_the_same_whatever_the_seed_of_hashes(base):
    (base / "inv/sets.yml").write_text("x: {vars: {s: !!set {a, b, c, d}}, hosts: {web2: }}\ny: {children: {x: , z: }}")
    (base / "play/site.yml").write_text(PLAYBOOK.replace("web1", "all").replace("../vars.yml", "group_vars/all.yml"))
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SAME],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1

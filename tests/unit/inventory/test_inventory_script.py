"""Inventory scripts: really run, well behaved and not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opsrunner import yamlsource
from opsrunner.cli.options import default_sources
from opsrunner.errors import InputError, InputErrors
from opsrunner.inventory import Inventory, load
from opsrunner.plan.model import Options
from opsrunner.plan.read import read_again, read_command
from opsrunner.plan.revise import changed_files, differences

Scripted = Callable[..., Inventory]


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def printing(path: Path, listed: object) -> Path:
    """A script that prints that as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.with_name(f".{path.name}.json").write_text(listed if isinstance(listed, str) else json.dumps(listed, indent=1))
    return executable(path, '#!/bin/sh\nexec cat "${0%/*}/.${0##*/}.json"\n')


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    """Loads from a script ``inv`` of these lines."""

    def write_and_load(lines: str, timeout: float = 10.0) -> Inventory:
        executable(tmp_path / "inv", f"#!/bin/sh\n{lines}\n")
        return load(["inv"], base=tmp_path, script_timeout=timeout)

    return write_and_load


def told(base: Path, listed: object) -> list[InputError]:
    """The faults of a script that prints that."""
    printing(base / "inv", listed)
    with pytest.raises(InputError) as caught:
        load(["inv"], base=base)
    return list(caught.value.errors) if isinstance(caught.value, InputErrors) else [caught.value]


# ---------------------------------------------------------------------- what it prints


def test_groups_hosts_and_variables(tmp_path):
    printing(
        tmp_path / "inv",
        {
            "web": {"hosts": ["web[1:3]", "h:22"], "vars": {"a": "{{ b }}", "ansible_group_priority": 5}},
            "site": {"children": ["web", "new"]},
            "empty": {"hosts": []},
            "_meta": {"hostvars": {"h:22": {"b": 1e3, "n": None}, "nobody": {"c": 1}}},
        },
    )
    inventory = load(["inv"], base=tmp_path)
    # Ansible expands no ranges here, and takes no ports from names.
    assert list(inventory.hosts) == ["web[1:3]", "h:22"]
    assert list(inventory.groups) == ["all", "ungrouped", "web", "site", "new", "empty"]
    assert inventory.groups["web"].priority == 5
    found = inventory.variables("h:22")
    assert (found["a"], found["b"], found["n"]) == ("{{ b }}", 1000.0, None)
    assert (found["inventory_file"], found["inventory_dir"]) == (str(tmp_path / "inv"), str(tmp_path))
    assert not inventory.warnings


def test_hosts_are_asked_for_one_by_one_without_meta(scripted):
    inventory = scripted(
        'case "$1 $2" in "--list "*) echo \'{"web": {"hosts": ["a", "b", "c d"]}}\';;'
        ' "--host a") echo \'{"x": 1}\';; "--host b") ;; *) echo "{\\"x\\": \\"$2\\"}";; esac'
    )
    assert [inventory.variables(host).get("x") for host in inventory.hosts] == [1, None, "c d"]
    assert "run once more for each of 3 hosts" in str(inventory.warnings[0])


def test_a_group_that_is_a_list_is_warned_of(tmp_path):
    printing(tmp_path / "inv", {"web": ["a"], "_meta": {"hostvars": {}}})
    inventory = load(["inv"], base=tmp_path)
    assert list(inventory.groups["web"].hosts) == ["a"]
    assert [str(warning).partition(" (")[0] for warning in inventory.warnings] == [
        "output of inv --list:2:2: group web is a list"
    ]


def test_keys_without_effect_and_keys_that_stand_twice_are_warned_of(scripted):
    inventory = scripted(
        'echo \'{"web": {"hosts": ["a"], "var": {}}, "_meta": {"hostvars": {}},\n "web": {"hosts": ["b"], "hots": 1}}\''
    )
    assert list(inventory.hosts) == ["b"]
    assert [(warning.place.line, warning.what) for warning in inventory.warnings] == [
        (2, "key 'web' stands twice"),
        (2, "'hots' of group web has no effect"),
    ]


@pytest.mark.parametrize("listed", ["{}", '{"_meta": {"hostvars": {}, "profile": "inventory_legacy"}}', " {}\n\n"])
def test_nothing_is_an_inventory_of_no_hosts(tmp_path, listed):
    printing(tmp_path / "inv", listed)
    assert list(load(["inv"], base=tmp_path).hosts) == []


@pytest.mark.parametrize(
    ("group", "what"),
    [
        ({}, "group web has neither hosts nor vars nor children"),
        ({"ansible_host": "10.0.0.1"}, "group web has neither hosts nor vars nor children"),
        ("a", "group web is text"),
        (None, "group web is nothing"),
        ({"hosts": "a"}, "hosts of group web is text, not a list"),
        ({"hosts": None}, "hosts of group web is nothing, not a list"),
        ({"hosts": {"a": {}}}, "hosts of group web is a mapping, not a list"),
        ({"hosts": ["a", 5]}, "a host's name must be text"),
        ({"hosts": [""]}, "a host's name must be text"),
        ({"vars": []}, "vars of group web is a list, not a mapping"),
        ({"vars": None}, "vars of group web is nothing, not a mapping"),
        ({"vars": {"ansible_group_priority": "high"}}, "ansible_group_priority is 'high'"),
        ({"children": "db"}, "children of group web is text"),
        ({"children": None}, "children of group web is nothing"),
        ({"children": {"db": {"hosts": ["a"]}}}, "children of group web is a mapping"),
        ({"children": [["db"]]}, "a group's name must be text"),
        ({"children": ["web"]}, "group web cannot be its own child"),
        ({"children": ["all"]}, "group web cannot have the child all"),
    ],
)
def test_what_ansible_would_guess_at_is_refused_with_its_place(tmp_path, group, what):
    (error,) = told(tmp_path, {"db": {"hosts": ["x"]}, "web": group, "_meta": {"hostvars": {}}})
    assert what in error.what
    assert error.place is not None
    assert error.place.file == "output of inv --list"
    assert error.place.line > 5


@pytest.mark.parametrize(
    ("meta", "what"),
    [
        (None, "_meta holds no mapping hostvars"),
        ({}, "_meta holds no mapping hostvars"),
        ({"hostvars": []}, "_meta holds no mapping hostvars"),
        ({"hostvars": {"a": None}}, "the variables of host a are nothing, not a mapping"),
        ({"hostvars": {"a": [1]}}, "the variables of host a are a list, not a mapping"),
        ({"hostvars": {}, "profile": "inventory_new"}, "_meta.profile is 'inventory_new'"),
        ({"hostvars": {}, "profile": None}, "_meta.profile is None"),
    ],
)
def test_a_meta_that_is_none(tmp_path, meta, what):
    (error,) = told(tmp_path, {"web": {"hosts": ["a"]}, "_meta": meta})
    assert what in error.what
    assert error.place is not None


def test_all_faults_of_an_output_are_told_at_once(tmp_path):
    listed = {"a": {"hosts": "x"}, "": {"hosts": []}, "b": {"vars": [], "children": 1}, "_meta": {}}
    assert len(told(tmp_path, listed)) == 5


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ('{"web":\n  {hosts: []}}', 2, 4, "Expecting property name"),
        ("Fetching hosts…\n{}", 1, 1, "no JSON: Expecting value"),
        ("{}\nDone.", 2, 1, "Extra data"),
        ("\ufeff{}", 1, 1, "BOM"),
        ("", 1, 1, "nothing was printed"),
        ("web:\n  hosts: {}\n", 1, 1, "Expecting value"),
    ],
)
def test_what_is_no_json_is_refused_where_it_breaks_off(tmp_path, text, line, column, what):
    (error,) = told(tmp_path, text)
    assert error.place == ("output of inv --list", line, column)
    assert what in error.what


@pytest.mark.parametrize(
    "text",
    ["[]", '"web"', "5", "null", "[" * 100_000, '{"a": ' * 500 + "1" + "}" * 500, '{"a": 1' + "0" * 5000 + "}"],
)
def test_json_that_is_no_mapping_or_cannot_be_used(tmp_path, text):
    assert len(told(tmp_path, text)) == 1


def test_numbers_that_only_python_knows_are_taken_as_ansible_takes_them(tmp_path):
    printing(tmp_path / "inv", '{"a": {"hosts": ["h"], "vars": {"v": NaN, "w": -Infinity}}, "_meta": {"hostvars": {}}}')
    found = load(["inv"], base=tmp_path).variables("h")
    assert found["v"] != found["v"]
    assert found["w"] == float("-inf")


def test_a_long_line_of_an_output_is_not_shown(tmp_path):
    listed = json.dumps(
        {"a": {"vars": {"password": "secret"}, "hosts": ["h"] * 100}, "b": 1, "_meta": {"hostvars": {}}}
    )
    (error,) = told(tmp_path, listed)
    assert "secret" not in "\n".join(error.lines())
    (error,) = told(tmp_path, listed[:-1])
    assert "secret" not in "\n".join(error.lines())


def test_a_variable_called_like_a_mark_of_ours_travels(tmp_path):
    printing(
        tmp_path / "inv", {"web": {"hosts": ["h"], "vars": {"\0pairs": {"\0pairs": 1}}}, "_meta": {"hostvars": {}}}
    )
    inventory = load(["inv"], base=tmp_path)
    copy = Inventory.from_data(json.loads(json.dumps(inventory.to_data())))
    assert copy.variables("h") == inventory.variables("h")


# ---------------------------------------------------------------------- how it behaves


def test_a_script_that_fails_is_told_with_the_end_of_its_stderr(scripted):
    with pytest.raises(InputError) as caught:
        scripted('for n in 1 2 3 4 5 6 7; do echo "line $n" >&2; done; printf "\\033[2Jbad" >&2; exit 3')
    assert str(caught.value) == ("inv --list has failed with status 3 (line 4 / line 5 / line 6 / line 7 / �[2Jbad)")


def test_a_script_that_fails_for_one_host_ends_it_there(scripted, tmp_path):
    with pytest.raises(InputError, match="inv --host b has failed with status 1"):
        scripted(
            f'echo "$2" >> {tmp_path}/asked\n'
            'case $2 in b) exit 1;; "") echo \'{"g": {"hosts": ["a", "b", "c"]}}\';; esac'
        )
    assert (tmp_path / "asked").read_text().split() == ["a", "b"]


def test_hosts_are_not_asked_for_where_the_list_is_at_fault(scripted, tmp_path):
    with pytest.raises(InputError):
        scripted(f'echo x >> {tmp_path}/asked; echo \'{{"g": {{"hosts": ["a", 5]}}}}\'')
    assert (tmp_path / "asked").read_text() == "x\n"


def test_stderr_of_a_script_that_ends_well_is_a_warning(scripted):
    inventory = scripted('echo "cache is old" >&2; echo \'{"_meta": {"hostvars": {}}}\'')
    assert [str(warning) for warning in inventory.warnings] == ["inv --list wrote to stderr: cache is old"]


def test_it_runs_where_the_command_runs_with_its_environment_and_no_input(scripted, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_TEST", "t0k")
    inventory = scripted(
        'read line && exit 9; echo "{\\"g\\": {\\"vars\\": {\\"d\\": \\"$(pwd)\\", \\"t\\": \\"$TOKEN_OF_TEST\\"}},'
        ' \\"_meta\\": {\\"hostvars\\": {}}}"'
    )
    assert inventory.group_variables("g") == {"d": str(tmp_path), "t": "t0k"}


def gone(file: Path) -> bool:
    """Whether the process whose id the file holds has ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{file.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_a_script_that_hangs_is_killed_with_what_it_started(scripted, tmp_path):
    with pytest.raises(InputError, match=r"inv --list was killed: not done after 2 s \(waiting\)") as caught:
        scripted(f"echo waiting >&2; sleep 60 & echo $! > {tmp_path}/child; wait", timeout=2)
    assert "OPSRUNNER_SCRIPT_TIMEOUT" in str(caught.value.remedy)
    assert gone(tmp_path / "child")


def test_a_script_that_ignores_term_is_killed(scripted, tmp_path):
    began = time.monotonic()
    with pytest.raises(InputError, match="was killed"):
        scripted(f"trap '' TERM; echo $$ > {tmp_path}/own; while :; do sleep 0.1; done", timeout=2)
    assert time.monotonic() - began < 25
    assert gone(tmp_path / "own")


def test_a_script_that_closes_its_output_and_goes_on_is_waited_for(scripted, tmp_path):
    scripted(f'echo \'{{"_meta": {{"hostvars": {{}}}}}}\'; exec >&- 2>&-; sleep 0.3; touch {tmp_path}/done')
    assert (tmp_path / "done").exists()


def test_a_child_left_behind_that_holds_the_output(scripted, tmp_path):
    lines = f'echo \'{{"_meta": {{"hostvars": {{}}}}}}\'; sleep 60 %s & echo $! > {tmp_path}/child'
    with pytest.raises(InputError, match="has ended and its output has not") as caught:
        scripted(lines % "", timeout=2)
    assert "/dev/null" in str(caught.value.remedy)
    assert gone(tmp_path / "child")
    scripted(lines % ">/dev/null 2>&1")
    os.kill(int((tmp_path / "child").read_text()), 9)


def test_a_script_that_prints_without_end(scripted):
    with pytest.raises(InputError, match="inv --list prints more than 64 MiB"):
        scripted("exec cat /dev/zero")


def test_stderr_without_end_takes_no_memory(scripted):
    scripted('head -c 20000000 /dev/zero >&2; echo \'{"_meta": {"hostvars": {}}}\'')


def test_output_that_is_no_utf8(scripted):
    with pytest.raises(InputError, match="inv --list prints no UTF-8 text"):
        scripted(r"""printf '{"a\377": {}}'""")


def test_a_script_ended_by_a_signal(scripted):
    with pytest.raises(InputError, match="was ended by SIGKILL"):
        scripted("kill -9 $$")


@pytest.mark.parametrize(
    ("text", "why"),
    [("#!/no/such/interpreter\n", "its interpreter is not here"), ("\0\1\2\3", "Exec format error")],
)
def test_a_script_that_cannot_be_started(tmp_path, text, why):
    executable(tmp_path / "inv", text)
    with pytest.raises(InputError, match=why):
        load(["inv"], base=tmp_path)


def test_scripts_among_files_in_a_folder(tmp_path):
    printing(tmp_path / "inv" / "b.py", {"web": {"hosts": ["b"], "vars": {"v": "b"}}, "_meta": {"hostvars": {}}})
    (tmp_path / "inv" / "a.yml").write_text("web: {hosts: {a: }, vars: {v: a}}")
    (tmp_path / "inv" / "c.yml").write_text("web: {hosts: {c: }, vars: {w: c}}")
    (tmp_path / "inv" / "group_vars").mkdir()
    (tmp_path / "inv" / "group_vars" / "web.yml").write_text("x: 1")
    inventory = load(["inv"], base=tmp_path)
    assert list(inventory.hosts) == ["a", "b", "c"]
    assert inventory.group_variables("web") == {"v": "b", "w": "c", "x": 1}


def test_a_script_runs_once_and_its_content_and_output_are_noted(scripted, tmp_path):
    lines = f"echo x >> {tmp_path}/runs; cat {tmp_path}/out"
    digests = []
    for listed in ('{"_meta": {"hostvars": {}}}', '{"_meta": {"hostvars": {}} }'):
        (tmp_path / "out").write_text(listed)
        with yamlsource.noting() as files:
            scripted(lines)
        digests.append(files)
    assert [sorted(files) for files in digests] == [[str(tmp_path / "inv"), str(tmp_path / "inv --list")]] * 2
    assert digests[0][str(tmp_path / "inv")] == digests[1][str(tmp_path / "inv")]
    assert digests[0] != digests[1]
    assert (tmp_path / "runs").read_text() == "x\nx\n"


def test_an_executable_file_of_text_is_read_and_one_that_may_not_be_run_is_no_script(tmp_path):
    executable(tmp_path / "hosts.yml", "web: {hosts: {a: }}")
    (tmp_path / "more.yml").write_text("#!/bin/false\nweb: {hosts: {b: }}")
    assert list(load(["hosts.yml", "more.yml"], base=tmp_path).hosts) == ["a", "b"]
    (tmp_path / "inv.py").write_text("#!/bin/false\n")
    with pytest.raises(InputError, match=r"inv\.py is a script that may not be run") as caught:
        load(["inv.py"], base=tmp_path)
    assert caught.value.remedy == "chmod +x inv.py"


def test_an_output_that_changed_is_told_when_the_run_is_resumed(scripted, tmp_path):
    (tmp_path / "out").write_text('{"g": {"hosts": ["a", "b"]}, "_meta": {"hostvars": {}}}')
    scripted(f"cat {tmp_path}/out")
    before = read_command("all", ("uptime",), ["inv"], Options(), {}, base=tmp_path).plan
    assert differences(before, read_again(before).plan) == ()
    (tmp_path / "out").write_text('{"g": {"hosts": ["a"]}, "_meta": {"hostvars": {}}}')
    after = read_again(before).plan
    assert "gone from the inventory" in [difference.text for difference in differences(before, after)]
    assert changed_files(before, after) == (str(tmp_path / "inv --list"),)


# ---------------------------------------------------------------------- the setting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one.yml", ["one.yml"]),
        ("one.yml, two ,", ["one.yml, two ,"]),
        ("one.yml, ~/two,,$WHERE/three", ["one.yml", "~/two", "$WHERE/three"]),
        ("web1,", ["web1,"]),
        ("x,y.yml", ["x,y.yml"]),
    ],
)
def test_the_setting_takes_paths_with_commas_between_or_a_host_list(tmp_path, monkeypatch, text, expected):
    for name in ("one.yml", "two", "three", "x,y.yml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WHERE", str(tmp_path))
    monkeypatch.setenv("OPSRUNNER_INVENTORY", text)
    assert default_sources(()) == expected
    assert default_sources(("other",)) == ["other"]


def test_a_setting_that_names_what_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "one.yml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPSRUNNER_INVENTORY", "one.yml,two.yml,three")
    with pytest.raises(InputError, match=r"no inventory: two\.yml, three is not here"):
        default_sources(())


def test_without_an_inventory_the_one_of_ansible_cfg_is_named(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/ansible.cfg").write_text("[defaults]\ninventory = hosts.ini, /srv/a b\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ANSIBLE_CONFIG", "../etc/ansible.cfg")
    monkeypatch.delenv("OPSRUNNER_INVENTORY", raising=False)
    with pytest.raises(InputError, match="no inventory") as caught:
        default_sources(())
    assert "ansible.cfg names is not read" in caught.value.why
    outside = os.path.relpath("/srv/a b")
    assert caught.value.remedy == f"-i ../etc/hosts.ini -i '{outside}'"

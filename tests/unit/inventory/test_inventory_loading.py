"""Groups, hosts and variables as they come out of YAML files, by Ansible's rules."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import pytest

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, load

NESTED = """
all:
  hosts:
    lonely:
  vars:
    who: all
    everywhere: 1
  children:
    site:
      vars: {who: site}
      children:
        web:
          vars: {who: web}
          hosts:
            web[1:3].example.org:
            web2.example.org:
              who: host
db:
  hosts:
    db:2222:
    web1.example.org:
"""


def test_groups_hosts_and_variables(loaded):
    inventory = loaded(NESTED)
    assert list(inventory.hosts) == ["lonely", "web1.example.org", "web2.example.org", "web3.example.org", "db"]
    assert inventory.groups_of("web1.example.org") == ["db", "site", "web"]
    assert inventory.groups_of("lonely") == ["ungrouped"]
    assert inventory.variables("web1.example.org")["who"] == "web"
    assert inventory.variables("web2.example.org")["who"] == "host"
    assert inventory.variables("lonely")["who"] == "all"
    assert inventory.variables("db")["ansible_port"] == 2222
    assert inventory.groups["web"].depth == 2
    assert inventory.hosts_of("all") == (
        "lonely",
        "db",
        "web1.example.org",
        "web2.example.org",
        "web3.example.org",
    )


def test_magic_variables(loaded, tmp_path):
    inventory = loaded(NESTED)
    magic = inventory.magic("web3.example.org")
    assert magic["inventory_hostname"] == "web3.example.org"
    assert magic["inventory_hostname_short"] == "web3"
    assert magic["group_names"] == ["site", "web"]
    assert inventory.groups_variable()["site"] == ["web1.example.org", "web2.example.org", "web3.example.org"]
    assert inventory.groups_variable()["ungrouped"] == ["lonely"]
    assert set(inventory.groups_variable()) == {"all", "ungrouped", "site", "web", "db"}
    assert magic["inventory_file"] == str(tmp_path / "hosts.yml")
    assert magic["inventory_dir"] == str(tmp_path)


@pytest.mark.parametrize("name", ["10.0.0.1", "2001:db8::1"])
def test_an_address_is_not_shortened(loaded, name):
    assert loaded(f'all: {{hosts: {{"{name}": }}}}').magic(name)["inventory_hostname_short"] == name


def test_priority_orders_groups_of_one_depth(loaded):
    text = "a: {hosts: {h: }, vars: {x: a, ansible_group_priority: '10'}}\nb: {hosts: {h: }, vars: {x: b}}"
    inventory = loaded(text)
    assert inventory.variables("h")["x"] == "a"
    assert "ansible_group_priority" not in inventory.variables("h")
    assert inventory.groups["a"].priority == 10


def test_variable_files_win_over_the_inventory_and_all_loses_to_groups(loaded):
    inventory = loaded(
        {
            "hosts.yml": "web: {hosts: {h: {z: inline}}, vars: {x: inline, y: inline, w: inline}}",
            "group_vars/all.yml": "x: all-file\nw: all-file\nq: all-file",
            "group_vars/web/2.yml": "y: second",
            "group_vars/web/1.yaml": "y: first\nw: web-file",
            "group_vars/web/.hidden.yml": "y: hidden",
            "group_vars/web/old.yml~": "y: old",
            "group_vars/web/README.md": "y: text",
            "group_vars/web.yml": "y: passed over, the folder comes first",
            "group_vars/nobody.yml": "y: nobody",
            "host_vars/h.json": '{"z": 1e3}',
        }
    )
    found = inventory.variables("h")
    # A file for `all` beats what the inventory says about a group: Ansible's own order.
    assert {name: found[name] for name in "xywqz"} == {
        "x": "all-file",
        "y": "second",
        "w": "web-file",
        "q": "all-file",
        "z": 1000.0,
    }


def test_several_sources_and_the_playbooks_files(loaded):
    files = {
        "one/hosts.yml": "deep: {children: {web: {hosts: {h: {a: one}}}}}",
        "one/group_vars/web.yml": "v: one-web\nu: one-web",
        "one/host_vars/h.yml": "f: one",
        "two/hosts.yml": "web: {hosts: {h: {a: two}, i: }}",
        "two/group_vars/deep.yml": "v: two-deep",
        "two/host_vars/h.yml": "f: two",
        "play/group_vars/all.yml": "v: play-all\nu: play-all",
        "play/host_vars/h.yml": "f: play",
    }
    inventory = loaded(files, "one", "two")
    found = inventory.variables("h")
    # The later source wins as a whole, even from a group that is farther from the host.
    assert (found["v"], found["u"], found["a"], found["f"]) == ("two-deep", "one-web", "two", "two")
    assert found["inventory_file"].endswith("one/hosts.yml")
    played = loaded(files, "one", "two", playbook="play").variables("h")
    assert (played["v"], played["u"], played["f"]) == ("two-deep", "one-web", "play")


def test_with_playbook_vars_leaves_the_inventory_as_it_was(loaded, tmp_path):
    inventory = loaded({"hosts.yml": "web: {hosts: {h: }}", "play/group_vars/web.yml": "x: 1"})
    with_play = inventory.with_playbook_vars(tmp_path / "play", base=tmp_path)
    assert with_play.variables("h")["x"] == 1
    assert "x" not in inventory.variables("h")


def test_a_folder_is_read_in_the_order_of_its_names(loaded):
    inventory = loaded(
        {
            "inv/b.yml": "web: {hosts: {b: }}",
            "inv/a": "web: {hosts: {a: }}",
            "inv/sub/c.json": '{"web": {"hosts": {"c": null}}}',
            "inv/notes.md": "no inventory",
            "inv/.hidden": "no inventory",
            "inv/sub/group_vars/web.yml": "not_read: true",
        },
        "inv",
    )
    assert list(inventory.hosts) == ["a", "b", "c"]
    assert "not_read" not in inventory.variables("a")


def test_a_host_list(loaded):
    inventory = loaded({}, "web1, web2:2200,[2001:db8::1]:22")
    assert inventory.groups_variable()["ungrouped"] == ["web1", "web2", "2001:db8::1"]
    assert inventory.variables("web2")["ansible_port"] == 2200
    assert inventory.variables("web1")["inventory_dir"] is None


def test_the_implicit_localhost(loaded):
    inventory = loaded(
        {
            "hosts.yml": "web: {hosts: {h: }, vars: {g: 1}}",
            "group_vars/all.yml": "a: 1",
            "host_vars/localhost.yml": "mine: 1",
        }
    )
    found = inventory.variables("localhost")
    assert (found["ansible_connection"], found["a"], found["mine"]) == ("local", 1, 1)
    assert "g" not in found
    assert "localhost" not in inventory.hosts_of("all")
    assert inventory.groups_of("localhost") == []
    with pytest.raises(KeyError):
        inventory.variables("nobody")


def test_dates_stay_dates_and_json_stays_json(loaded):
    inventory = loaded(
        {
            "hosts.yml": "all: {hosts: {h: {day: 2024-01-02, at: 2024-01-02T03:04:05Z, e: 1e3, d: {1: a}}}}",
            "more.json": '{\n\t"all": {"hosts": {"j": {"e": 1e3, "smile": "\\ud83d\\ude00"}}}}',
        },
        "hosts.yml",
        "more.json",
    )
    found = Inventory.from_data(json.loads(json.dumps(inventory.to_data()))).variables("h")
    at = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert (found["day"], found["at"], found["e"]) == (datetime.date(2024, 1, 2), at, "1e3")
    assert inventory.variables("j")["e"] == 1000.0
    assert inventory.variables("j")["smile"] == "😀"


def test_variables_of_a_host_that_is_called_like_a_group_go_to_the_group(loaded):
    inventory = loaded("nas: {hosts: {nas: {x: 1}, other: }}")
    assert inventory.variables("other")["x"] == 1


def test_data_there_and_back(loaded):
    inventory = loaded(
        {
            "hosts.yml": NESTED + "pairs: {vars: {d: {1: a, b: [{2: c}]}, ansible_group_priority: 5}}\n",
            "group_vars/web.yml": "f: 1",
            "host_vars/db.yml": "g: 1",
            "play/group_vars/all.yml": "p: 1",
        },
        playbook="play",
    )
    copy = Inventory.from_data(json.loads(json.dumps(inventory.to_data())))
    assert list(copy.hosts) == list(inventory.hosts)
    assert copy.groups_variable() == inventory.groups_variable()
    for host in (*inventory.hosts, "localhost"):
        assert copy.variables(host) == inventory.variables(host)
        assert copy.magic(host) == inventory.magic(host)
    assert copy.group_variables("pairs")["d"] == {1: "a", "b": [{2: "c"}]}
    assert copy.to_data() == inventory.to_data()


def test_asking_for_variables_changes_nothing(loaded):
    inventory = loaded(NESTED)
    inventory.variables("db")["who"] = "changed"
    assert inventory.variables("db")["who"] == "all"
    assert inventory.variables("lonely")["who"] == "all"


def test_twenty_thousand_hosts_load_fast_and_travel_small(tmp_path: Path):
    racks = "".join(
        f"        rack{rack}:\n          hosts:\n"
        + "".join(f"            n{rack:03}-{host:03}.example.org:\n" for host in range(100))
        for rack in range(200)
    )
    (tmp_path / "hosts.yml").write_text(f"all:\n  children:\n    site:\n      children:\n{racks}")
    started = time.monotonic()
    inventory = load(["hosts.yml"], base=tmp_path)
    # Far above what it takes, for a busy machine.
    assert time.monotonic() - started < 10
    assert len(inventory.hosts_of("site")) == 20_000
    assert len(json.dumps(inventory.to_data())) < 700_000


def test_no_source_at_all_is_an_empty_inventory(tmp_path: Path):
    inventory = load([], base=tmp_path)
    assert (list(inventory.hosts), list(inventory.groups)) == ([], ["all", "ungrouped"])


def test_a_missing_source(tmp_path: Path):
    with pytest.raises(InputError, match="no inventory at web1") as caught:
        load(["web1"], base=tmp_path)
    assert "web1," in str(caught.value.remedy)

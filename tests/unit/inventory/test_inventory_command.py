"""`opsrunner inventory …` on the inventory that is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from opsrunner.cli.inventory import command
from opsrunner.errors import InputError
from opsrunner.inventory import connection, load

SHIPPED = Path(__file__).parents[3] / "inventory"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "-i", str(SHIPPED)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list():
    data = json.loads(run("list"))
    assert data["web"] == {"hosts": ["web1", "web2", "web3", "web4"]}
    assert data["_meta"]["hostvars"]["db1"]["db_role"] == "primary"
    assert data["_meta"]["hostvars"]["db2"]["db_role"] == "replica"
    assert list(data) == sorted(data)


def test_list_export_is_an_inventory_again(tmp_path):
    text = run("list", "--export", "--yaml")
    (tmp_path / "hosts.yml").write_text(text)
    again, shipped = load(["hosts.yml"], base=tmp_path), load([str(SHIPPED)], base=tmp_path)
    left_out = ("inventory_file", "inventory_dir")
    for host in shipped.hosts:
        for inventory in (again, shipped):
            assert inventory.groups_of(host)
        assert {k: v for k, v in again.variables(host).items() if k not in left_out} == {
            k: v for k, v in shipped.variables(host).items() if k not in left_out
        }


def test_graph():
    assert run("graph", "berlin").splitlines() == ["@berlin:", "  |--@db:", "  |  |--db1", "  |  |--db2"]
    assert "  |  |--{db_role = replica}" in run("graph", "db", "--vars")


def test_host():
    assert json.loads(run("host", "db1"))["opsrunner_zone"] == "berlin"
    assert yaml.safe_load(run("host", "web1", "--yaml"))["opsrunner_zone"] == "frankfurt"
    with pytest.raises(InputError, match="names 4 hosts"):
        run("host", "web")


def test_hosts():
    assert run("hosts", "web:!web3").split() == ["web1", "web2", "web4"]
    assert run("hosts", "web:!web3", "--fold") == "web[1-2,4]\n"
    assert json.loads(run("hosts", "all", "-l", "canary", "--json")) == ["web1", "db1"]
    assert run("hosts", "nobody", "--allow-empty") == ""
    with pytest.raises(InputError, match="called wbe"):
        run("hosts", "wbe")


def test_an_unknown_group_in_graph():
    with pytest.raises(InputError) as caught:
        run("graph", "wbe")
    assert caught.value.remedy == "did you mean web?"


def test_the_shipped_fleet_has_two_zones_and_six_addresses():
    inventory = load([str(SHIPPED)], base=SHIPPED)
    plain = ("ansible_host", "opsrunner_zone")
    found = [connection(h, {k: inventory.variables(h)[k] for k in plain}) for h in inventory.hosts]
    assert {c.zone for c in found} == {"frankfurt", "berlin"}
    assert sorted(c.address for c in found) == [f"127.77.0.{n}" for n in range(1, 7)]

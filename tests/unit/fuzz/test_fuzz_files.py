"""Whatever stands in a file of ours: it is read whole, or refused with a place; nothing else."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import inventory, yamlsource
from opsrunner.cli.plan import describe
from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, listing, match
from opsrunner.plan import datafile
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
from opsrunner.schedule.load import load as load_schedules
from opsrunner.schedule.times import next_times
from tests.unit.fuzz.generators import mutated, seeds
from tests.unit.fuzz.profile import fuzzed, judged

INVENTORIES = seeds("inventory/**/*.yml", "inventory/*.yml")
PLAYBOOKS = seeds("playbooks/*.yml")
SCHEDULES = seeds("schedules.yml")
JSON = [b'{"all": {"hosts": {"web[1:3]": {"a": 1e3, "b": "\\ud83e\\udd8a"}}, "vars": {"x": [1, null, true]}}}']
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples refer to stands here; each example writes its own file."""
    made = tmp_path_factory.mktemp("fuzz")
    for name in ("files/restart.sh", "inventory/hosts.yml", "playbooks/restart.yml", "playbooks/patch.yml"):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text("all: {hosts: {web1: }}\n")
    return made


@fuzzed(200)
@given(data=mutated(INVENTORIES + PLAYBOOKS + SCHEDULES + JSON) | st.binary(max_size=60))
def test_yaml_is_read_as_pyyaml_reads_it_or_refused(folder: Path, data: bytes) -> None:
    path = folder / "any.yml"
    path.write_bytes(data)
    with judged():
        found = yamlsource.load_file(path)
        reference = yaml.load(data.decode("utf-8-sig"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        assert repr(_bare(found)) == repr(_bare(reference))
    with judged():
        json.dumps(inventory.values.plain(datafile.read(path, lambda warning: None)), default=str)


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in sorted(value.items(), key=repr)}
    return [_bare(item) for item in value] if isinstance(value, list) else value


@fuzzed(150)
@given(data=mutated(INVENTORIES + JSON) | st.binary(max_size=60))
def test_an_inventory_is_loaded_or_refused(folder: Path, data: bytes) -> None:
    path = folder / "hosts.yml"
    path.write_bytes(data)
    with judged():
        loaded = inventory.load([str(path)], base=folder)
        everything = listing.as_json(listing.listing(loaded))
        listing.as_yaml(listing.tree(loaded))
        listing.graph(loaded, "all", variables=True)
        assert match(loaded, "all", allow_empty=True) is not None
        again = Inventory.from_data(json.loads(json.dumps(loaded.to_data())))
        assert listing.as_json(listing.listing(again)) == everything


@fuzzed(100)
@given(data=mutated(INVENTORIES) | st.binary(max_size=60))
def test_variables_beside_an_inventory_are_loaded_or_refused(folder: Path, data: bytes) -> None:
    for name in ("group_vars/all.yml", "host_vars/web1.yml"):
        (folder / "beside" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "beside" / name).write_bytes(data)
    (folder / "beside" / "hosts.yml").write_text("all: {hosts: {web1: }}\n")
    with judged():
        loaded = inventory.load([str(folder / "beside" / "hosts.yml")], base=folder)
        listing.as_json(loaded.variables("web1"))


@fuzzed(200)
@given(data=mutated(PLAYBOOKS) | st.binary(max_size=60))
def test_a_playbook_is_compiled_or_refused(folder: Path, data: bytes) -> None:
    path = folder / "site.yml"
    path.write_bytes(data)
    hosts = inventory.load(["web1,web2,db1,"], base=folder)
    with judged():
        plan = compile_playbook(path, hosts, Options(), {}).plan
        assert decode(encode(plan)) == plan
        assert describe(plan)


@fuzzed(150)
@given(data=mutated(SCHEDULES) | st.binary(max_size=60))
def test_schedules_are_loaded_or_refused(folder: Path, data: bytes) -> None:
    path = folder / "schedules.yml"
    path.write_bytes(data)
    with judged():
        for schedule in load_schedules(path):
            assert len(next_times(schedule, NOW, 3)) == 3


@fuzzed(100)
@given(data=mutated(INVENTORIES + PLAYBOOKS + SCHEDULES))
def test_a_fault_of_a_file_names_its_place(folder: Path, data: bytes) -> None:
    path = folder / "named.yml"
    path.write_bytes(data)
    try:
        yamlsource.load_file(path)
    except InputError as error:
        assert str(path) in str(error)

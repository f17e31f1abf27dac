"""Whatever stands in an INI inventory: it is read whole, or refused; in time, and never with a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import inventory
from opsrunner.inventory import Inventory, listing, match
from tests.unit.fuzz.generators import ODD, mutated
from tests.unit.fuzz.profile import fuzzed, judged

SEEDS = [
    b"localhost connection=local\n\n[web]\nweb[01:03].example.org:2222 a=1 t=\"['x', 'y']\" # c\nweb4 p='q#r'\n",
    b"[top:children]\nweb\ndb\n[web]\nh a=5\n[db:vars]\nx = {'a': [(2, 3)], 'b': {1, 2}}\ny = b'z' # c\n[db]\nd[a:c]\n",
    b"; c\n[a]\n::1\n[2001:db8::2]:22\n[b:children]\na\n[a:vars]\nansible_group_priority=3\nt={{ x | default('y') }}\n",
]
WORDS = st.sampled_from(
    [*ODD, "[a]", "[a:vars]", "[a:children]", "a", "a=1", "\n", "\n", "\n", " ", "=", "\\", "...", "1j", "{{1}}", "b''"]
)
BOMBS = {
    "brackets": "h a=" + "[" * 90_000,
    "signs": "[all:vars]\n" + ("a=" + "-" * 90_000 + "1\n") * 20,
    "sums": "h a=1" + "+1" * 40_000,
    "dots": "h a=a" + ".a" * 40_000,
    "items": "h a=[" + "1," * 49_000 + "]",
    "nested": "h a=" + "(" * 150 + ")" * 150,
    "a long line": "h " + "a=1 " * 50_000,
    "a very long value": "h a=" + "x" * 5_000_000,
    "quotes": "h " + "'" * 100_001,
    "open quotes": 'h "' + '\\"' * 500_000,
    "hosts": "[0:999][0:999][0:999]\n[000:999]" + "a" * 900 + "[000:999]\n",
    "sections": "".join(f"[g{number}:children]\ng{number + 1}\n" for number in range(3000)),
    "unknown groups": "[a:children]\n" + "".join(f"g{number}\n" for number in range(20_000)),
    "faults": "h x\n" * 20_000,
    "headers": "[\n[a\n[:]\n" * 10_000,
    "NULs": "\0" * 1_000_000,
}


@fuzzed(200)
@given(
    data=mutated(SEEDS)
    | st.binary(max_size=60)
    | st.lists(WORDS, max_size=12).map(lambda words: "".join(words).encode()),
    name=st.sampled_from(["hosts.ini", "hosts", "hosts.yml"]),
)
def test_an_ini_inventory_is_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)
    with judged(1.0):
        loaded = inventory.load([str(path)], base=path.parent)
        everything = listing.as_json(listing.listing(loaded))
        listing.as_yaml(listing.tree(loaded))
        listing.graph(loaded, "all", variables=True)
        assert match(loaded, "all", allow_empty=True) is not None
        again = Inventory.from_data(json.loads(json.dumps(loaded.to_data())))
        assert listing.as_json(listing.listing(again)) == everything


@pytest.mark.parametrize("name", BOMBS)
def test_what_asks_for_too_much_ends_in_time(tmp_path: Path, name: str) -> None:
    (tmp_path / "hosts.ini").write_text(BOMBS[name])
    with judged(1.0):
        inventory.load(["hosts.ini"], base=tmp_path)

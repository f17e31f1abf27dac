"""Inventories, variable files and patterns that ask for all the time there is: a result or a refusal, soon."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import inventory, pipes, yamlcomposer, yamlsource
from opsrunner.errors import InputError
from opsrunner.inventory import builder, expressions, listing, match, ranges, sources
from tests.unit.fuzz.profile import fuzzed, judged

HOSTS = "all: {hosts: {web1: }}\n"
#: 2 ** 60 ways lead from the first group to the last.
DIAMONDS = "".join(
    f"g{n}: {{children: {{a{n}: {{children: {{g{n + 1}: }}}}, b{n}: {{children: {{g{n + 1}: }}}}}}}}\n"
    for n in range(60)
)
CHAIN = "".join(f"g{n}: {{children: {{g{n + 1}: }}}}\n" for n in range(3000))
MESH = "".join(f"g{n}: {{children: {{{', '.join(f'g{m}: ' for m in range(n + 1, 120))}}}}}\n" for n in range(120))

PIECES = st.sampled_from(
    (
        *("web", "web1", "all", "[", "]", ":", ",", "!", "&", "~", "*", "?", ".", "-", "@", "(", ")", "+", "{", "\\"),
        *(" ", "[0]", "[1:2]", "[01-20,25]", "[a:c]", "(a+)+", "(.*a){20}", "a" * 50, "9" * 30, "2001:db8::1", "\0"),
        *("é", "\n"),
    )
)
RANGE_PIECES = st.sampled_from(("web", "[", "]", ":", "0", "1", "09", "999999", "a", "-", ".", "z"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds drawn closer, so that to meet them takes no seconds."""
    monkeypatch.setattr(builder, "MAX_LISTED", 20_000)
    monkeypatch.setattr(builder, "MAX_VALUES", 500_000)
    monkeypatch.setattr(sources, "MAX_FOLDERS", 300)
    monkeypatch.setattr(yamlcomposer, "MAX_VALUES", 20_000)
    monkeypatch.setattr(expressions, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(pipes, "PATIENCE", 0.1)


def load(folder: Path, text: str = HOSTS) -> inventory.Inventory:
    (folder / "hosts.yml").write_text(text)
    return inventory.load(["hosts.yml"], base=folder)


@fuzzed(150)
@given(pieces=st.lists(PIECES, max_size=8))
def test_a_pattern_is_evaluated_or_refused(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    loaded = inventory.load(["web1,web2,db1," + "a" * 60 + "b"], base=tmp_path_factory.getbasetemp())
    with judged():
        assert set(match(loaded, "".join(pieces))) <= {*loaded.hosts, "localhost", "127.0.0.1", "::1"}


@fuzzed(120)
@given(
    pieces=st.lists(st.sampled_from(["web", "[", "]", ":", "0", "1", "09", "999999", "a", "-", ".", "z"]), max_size=12)
)
def test_a_range_is_written_out_or_refused(pieces: list[str]) -> None:
    with judged():
        names, _port = ranges.expand("".join(pieces))
        assert len(names) <= ranges.MAX_HOSTS


@pytest.mark.parametrize("text", [DIAMONDS, CHAIN, MESH], ids=["diamonds", "chain", "mesh"])
def test_groups_in_groups_end(tmp_path: Path, text: str) -> None:
    with judged():
        loaded = load(tmp_path, text + HOSTS)
        assert listing.as_json(listing.listing(loaded))
        assert match(loaded, "all:&g0", allow_empty=True) == []
    with judged():
        assert listing.as_yaml(listing.tree(loaded))
    with judged():
        list(listing.graph(loaded))


def test_a_graph_that_would_hardly_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the graph of all would have [0-9,]{20,} lines"):
        listing.graph(load(tmp_path, DIAMONDS))
    assert list(listing.graph(load(tmp_path, HOSTS))) == ["@all:", "  |--@ungrouped:", "  |  |--web1"]


def test_a_circle_is_named_however_long_it_is(tmp_path: Path) -> None:
    with judged(), pytest.raises(InputError, match="in a circle: g0 > g1 > "):
        load(tmp_path, CHAIN + "g3000: {children: {g0: }}\n")


@pytest.mark.usefixtures("small")
def test_hosts_are_counted_over_all_ranges_and_groups(tmp_path: Path) -> None:
    assert len(load(tmp_path, 'a: {hosts: {"w[1:9999]": }}\nb: {hosts: {"w[1:9999]": }}').hosts) == 9999
    many = "".join(f'g{n}: {{hosts: {{"w[1:9999]": }}}}\n' for n in range(500))
    with judged(), pytest.raises(InputError, match=r"^hosts\.yml:3:14: more than 20,000 hosts"):
        load(tmp_path, many)


@pytest.mark.usefixtures("small")
def test_variables_of_a_range_count_for_each_host(tmp_path: Path) -> None:
    nine = ",".join(["*{0}"] * 9)
    big = "a: &a [x,x,x,x,x,x,x,x,x]" + "".join(
        f", {new}: &{new} [{nine.format(old)}]" for old, new in ("ab", "bc", "cd")
    )
    with judged(), pytest.raises(InputError, match=r"^hosts\.yml:1:15: hosts have more than 500,000 values"):
        load(tmp_path, f'all: {{hosts: {{"w[1:19999]": {{{big}}}}}}}')


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("text", ["a: [" + "1," * 30_000 + "1]", "k: v\n" * 30_000, "- - x\n" * 30_000], ids=len)
def test_values_are_counted(tmp_path: Path, text: str) -> None:
    with judged(), pytest.raises(InputError, match=r"^x:[0-9]+:[0-9]+: more than 20,000 values"):
        yamlsource.load(text, "x", on_duplicate=lambda _error: None)
    assert yamlsource.load("a: |\n" + "  - x,\n" * 30_000, "x")


@pytest.mark.parametrize("number", ["1:" * 100_000 + "1", "9" * 1_000_000, "1" * 5000 + ".0"], ids=len)
def test_a_number_without_end_is_refused(number: str) -> None:
    with judged(), pytest.raises(InputError, match=r"^x:1:4: a number of more than 4,300 characters"):
        yamlsource.load(f"a: {number}", "x")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("place", ["group_vars/all", "inventory", "host_vars/web1"])
def test_links_that_multiply_are_refused(tmp_path: Path, place: str) -> None:
    for floor in range(12):
        (tmp_path / f"floor{floor}").mkdir()
        for link in range(3) if floor else ():
            (tmp_path / f"floor{floor - 1}" / f"link{link}").symlink_to(tmp_path / f"floor{floor}")
    (tmp_path / "floor11" / "x.yml").write_text(HOSTS)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "in").symlink_to(tmp_path / "floor0")
    (tmp_path / "hosts.yml").write_text(HOSTS)
    with judged(), pytest.raises(InputError, match=f"^{place} has more than 300 folders"):
        inventory.load(["inventory" if place == "inventory" else "hosts.yml"], base=tmp_path)


@pytest.mark.parametrize("place", ["group_vars/all/x.yml", "host_vars/web1.yml"])
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/tty", "/dev/full"])
def test_a_device_beside_an_inventory_is_not_read(tmp_path: Path, place: str, device: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).symlink_to(device)
    with judged(), pytest.raises(InputError, match=f"^{place} is no regular file"):
        load(tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pattern", ["~(a+)+$", "~(.*a){25}$", "web1:&~(a|aa)+$"])
def test_an_expression_that_goes_back_and_forth_is_refused(tmp_path: Path, pattern: str) -> None:
    loaded = load(tmp_path, "all: {hosts: {web1: , " + "a" * 60 + "b: }}")
    with judged(), pytest.raises(InputError, match=r"^~.* takes more than 0\.1 s"):
        match(loaded, pattern)
    assert match(loaded, "~w.b") == ["web1"]


def test_an_expression_holds_against_a_large_fleet(tmp_path: Path) -> None:
    loaded = load(tmp_path, 'all: {hosts: {"web[1:20000].example.org": }}')
    with judged():
        assert len(match(loaded, "~web.*[05]\\.example")) == 4000


@pytest.mark.parametrize(
    "pattern",
    [",".join(f"web{n}" for n in range(30_000)) + ",web[0]", "[" * 100_000, "a[0]" * 20_000, "," * 100_000 + "]"],
    ids=lambda text: text[:12],
)
def test_a_long_pattern_is_cut_in_time(tmp_path: Path, pattern: str) -> None:
    with judged(), pytest.raises(InputError):
        match(load(tmp_path), pattern)


@pytest.mark.usefixtures("small")
def test_a_pipe_is_waited_for_as_long_as_somebody_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with judged(), pytest.raises(InputError, match="nobody writes into it"):
        inventory.load(["pipe"], base=tmp_path)

    def write() -> None:
        with pipe.open("w") as opened:
            opened.write("all: ")
            opened.flush()
            threading.Event().wait(0.3)  # longer than nobody is waited for
            opened.write("{hosts: {piped: }}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert list(inventory.load(["pipe"], base=tmp_path).hosts) == ["piped"]
    finally:
        writer.join()

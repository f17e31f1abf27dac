"""What the chaos tests stand on can itself fail: bastions that reach too far, cuts that do not cut, blind books."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from random import Random

import pytest

from tests.chaos import networks
from tests.chaos.bastions import Site
from tests.chaos.books import Audit, Books, Play
from tests.chaos.deliveries import deliver_again, messages
from tests.chaos.networks import REDIS_PORT, Namespaces, Plain, namespaces_allowed
from tests.chaos.scenarios import steps
from tests.integration.stack import wait_until

MODE = Namespaces.mode if namespaces_allowed() else Plain.mode
PLAYS = (Play(steps("s", 2, handler=True)),)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), MODE, lease=10, heartbeat=2)
    yield site
    site.close()


def reaches(site: Site, bastion: str, address: str, port: int) -> bool:
    ask = f"import socket; socket.create_connection(('{address}', {port}), 1)"
    command = [*site.network.within(bastion), sys.executable, "-S", "-c", ask]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("mode", [MODE])
def test_a_bastion_reaches_its_own_zone_and_redis_unless_the_link_is_cut(mode: str, site: Site) -> None:
    own, other = site.network.addresses("a", 1)[0], site.network.addresses("b", 1)[0]
    port, other_port = site.zones["a"].fleet.port, site.zones["b"].fleet.port
    assert reaches(site, "a1", own, port)
    if not site.network.has_links:
        assert not reaches(site, "a1", own, 1), "the probe can say no"
        return
    assert not reaches(site, "a1", other, other_port)
    assert reaches(site, "a1", "10.78.1.1", REDIS_PORT)
    site.network.cut("a1", "hosts")
    assert not reaches(site, "a1", own, port)
    assert reaches(site, "a1", "10.78.1.1", REDIS_PORT)
    assert reaches(site, "a2", own, port)
    site.network.mend("a1", "hosts")
    wait_until(lambda: reaches(site, "a1", own, port), 5, "the link")


@pytest.fixture(scope="module")
def carried_out(site: Site) -> tuple[Books, str]:
    """The books of a run that went well while its messages were delivered again."""
    books = Books(site.folder / "books")
    run_id = site.submit(books.playbook(PLAYS, seconds=0.3))
    wait_until(books.begun, 20, "the first command")
    assert deliver_again(site, run_id, Random(1))
    wait_until(lambda: site.ended(run_id), 60, "the run's end")
    assert {queue for queue, _ in messages(site.journal())} > {"opsrunner", "opsrunner.a1", "opsrunner.b2"}
    return books, run_id


def audit(site: Site, books: Books, run_id: str) -> Audit:
    return books.audit(site.redis.client, run_id, PLAYS)


def test_the_books_are_content_with_a_good_run(site: Site, carried_out: tuple[Books, str]) -> None:
    found = audit(site, *carried_out)
    assert not found.faults()
    assert found.outcomes == {"changed": 90}


def test_the_books_see_what_is_wrong(site: Site, carried_out: tuple[Books, str]) -> None:
    books, run_id = carried_out
    second = books.folder / "s1"
    kept = second.read_text()
    state = site.redis.client.hget(f"opsrunner:run:{run_id}:step:1", "a02")
    try:
        second.write_text(kept + "a01 1\n" + "stranger 2\n")
        assert audit(site, books, run_id).doubles == ["a01 at s1: 2 times"]
        assert audit(site, books, run_id).disagreements == ["stranger wrote at s1, the ledger knows nothing"]
        second.write_text("".join(line for line in kept.splitlines(True) if not line.startswith("b03 ")))
        assert len(audit(site, books, run_id).disagreements) == 1
        second.write_text(kept)
        site.redis.client.hdel(f"opsrunner:run:{run_id}:step:1", "a02")
        assert "a02: a gap in ['changed', None, 'changed']" in audit(site, books, run_id).unaccounted
    finally:
        second.write_text(kept)
        site.redis.client.hset(f"opsrunner:run:{run_id}:step:1", "a02", state)


def test_the_books_see_what_is_left_behind(
    site: Site, carried_out: tuple[Books, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.chaos.books.CLEARED_WITHIN", 0.1)
    books, run_id = carried_out
    process = subprocess.Popen(["/bin/sh", "-c", f": {books.folder}; sleep 60; :"])
    site.redis.client.sadd("opsrunner:open", run_id)
    site.redis.client.set(f"opsrunner:run:{run_id}:more", "1")
    try:
        time.sleep(0.2)
        found = " ".join(audit(site, books, run_id).leftovers)
        assert f"process {process.pid}" in found
        assert "in opsrunner:open" in found
        assert ":more is kept for ever" in found
    finally:
        process.kill()
        process.wait()
        site.redis.client.srem("opsrunner:open", run_id)
        site.redis.client.delete(f"opsrunner:run:{run_id}:more")


@pytest.mark.skipif(Plain.mode == MODE, reason="no namespace is allowed here; the plain mode needs no tidying")
def test_namespaces_of_processes_that_are_no_more_are_taken_away() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    name = f"{networks.PREFIX}-{ended.pid}-left"
    networks.ip("netns", "add", name)
    networks.remove_abandoned()
    assert name not in networks.ip("netns", "list")

"""``@failed-of-RUN`` on runs that really ended so."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.engine.test_run import playbook
from tests.integration.stack import Stack


def failing(mended: Path) -> str:
    """A play for four hosts; h0001 and h0003 fail until they are mended."""
    gate = f"case {{{{ inventory_hostname }}}} in *1|*3) test -e {mended};; esac"
    return playbook(f"    - name: only\n      shell: {gate}\n", "h[0001-0004]")


def named(stack: Stack, pattern: str, *words: str) -> list[str]:
    found: list[str] = json.loads(stack.opsrunner("inventory", "hosts", pattern, "--json", *words).stdout)
    return found


def test_hosts_by_what_came_of_them(stack: Stack, tmp_path: Path) -> None:
    fleet = (stack.folder / "inventory" / "hosts.yml").read_text()
    unreachable = "h0004: {ansible_host: 127.1.0.4, ansible_port: 1}"
    stack.inventory(fleet.replace("h0004: {ansible_host: 127.1.0.4}", unreachable))
    run = stack.play(failing(tmp_path / "mended"), code=6)["run"]
    assert named(stack, "@failed-of-last") == ["h0001", "h0003", "h0004"]
    assert named(stack, f"@failed-of-{run[:-1]}:!@unreachable-of-{run}") == ["h0001", "h0003"]
    assert named(stack, "h[0001-0004]", "-l", "!@failed-of-last") == ["h0002"]
    assert named(stack, "@changed-of-last,@ok-of-last") == ["h0002"]
    assert "h[0001,0003-0004] (3)" in stack.opsrunner("plan", "play.yml", "-l", "@failed-of-last").stdout

    # The narrower run keeps its hosts, though `last` is another one by the time it is resumed.
    limit = "@failed-of-last:!@unreachable-of-last"
    narrow = stack.play(failing(tmp_path / "mended"), "-l", limit, code=2)
    assert set(narrow["stats"]) == {"h0001", "h0003"}
    assert stack.opsrunner("exec", "@failed-of-last", "-l", "h0003", "--", "true").returncode == 0
    (tmp_path / "mended").touch()
    (stack.folder / "play.yml").write_text("# touched\n" + (stack.folder / "play.yml").read_text())
    resumed = stack.opsrunner("resume", narrow["run"], "--hosts", f"@failed-of-{narrow['run']}:!h0003", code=2)
    assert "changed: " not in resumed.stderr and "1 host goes on" in resumed.stderr

    assert "names no host" in stack.opsrunner("run", "play.yml", "-l", "@lost-of-last", code=65).stderr
    assert "no run 'nope'" in stack.opsrunner("exec", "@failed-of-nope", "--", "true", code=65).stderr


def test_a_run_that_still_goes_on_is_told(stack: Stack, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run = stack.start(playbook(f"    - shell: while [ ! -e {gate} ]; do sleep 0.05; done\n", "h0001"))
    said = stack.opsrunner("plan", "play.yml", "-l", f"@failed-of-{run}", code=65).stderr
    assert f"run {run} still goes on" in said
    gate.touch()
    stack.ending(run)

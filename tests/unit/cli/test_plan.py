"""What ``opsrunner plan`` prints."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from opsrunner.cli.plan import command, describe
from opsrunner.plan.model import Loop, Plan, Play, Step


def plan_of(*steps: Step, strategy: str = "linear", batches: tuple[tuple[str, ...], ...] = (("web1", "web2"),)) -> Plan:
    hosts = tuple(host for batch in batches for host in batch)
    play = Play(0, "restart", "p.yml:1:3", "web", hosts, batches, steps, strategy=strategy)  # type: ignore[arg-type]
    return Plan("p.yml", "playbook", "/", (play,), {}, files={"files/a": "0123456789abcdef"})


def test_plays_batches_steps_and_files() -> None:
    lines = describe(
        plan_of(
            Step(0, "look", "command", "p.yml:5:5", {"_raw_params": "uptime"}, tags=("a", "b"), register="out"),
            Step(1, "mend", "shell", "p.yml:7:5", {"cmd": "a\nb"}, path=((0, "rescue"),), when=("x", "y"), become=True),
            Step(2, "h", "ping", "p.yml:9:5", section="handlers", handler=True),
            batches=(("web1", "web2"), ("web3",)),
        )
    )
    assert lines == [
        "play 1: restart  [linear]  p.yml:1:3",
        "  hosts: web[1-3] (3)",
        "  batch 1 of 2: web[1-2] (2)",
        "  batch 2 of 2: web3 (1)",
        "  tasks",
        "      0  look  [a, b]  p.yml:5:5",
        "         command: uptime",
        "         register out",
        "        1  rescue: mend  p.yml:7:5",
        "           shell: cmd=a ⏎ b",
        "           when: x and y",
        "           become",
        "  handlers, where notified",
        "      2  h  p.yml:9:5",
        "         ping",
        "1 file travels along:",
        "  files/a  0123456789ab",
    ]


def test_free_hosts_go_at_their_own_pace() -> None:
    lines = describe(plan_of(Step(0, "a", "ping", "x"), Step(1, "b", "ping", "x"), strategy="free"))
    assert "    stage 1: 2 steps, each host at its own pace" in lines


def test_no_log_hides_what_could_be_secret() -> None:
    step = Step(0, "a", "command", "x", {"_raw_params": "login s3cret"}, no_log=True, loop=Loop("loop", ["s3cret"]))
    assert "s3cret" not in "\n".join(describe(plan_of(step)))


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert not any("\x1b" in line for line in describe(plan_of(Step(0, "a\x1b[2J", "ping", "x"))))


def test_the_verb(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(
        "- hosts: all\n  tasks:\n    - command: uptime\n      tags: [never]\n    - shell: w\n", encoding="utf-8"
    )
    result = CliRunner().invoke(command, [str(path), "-i", "web1,web2,", "-l", "web2"])
    assert result.exit_code == 0, result.output
    assert "hosts: web2 (1)" in result.output
    assert "shell: w" in result.output
    assert "uptime" not in result.output

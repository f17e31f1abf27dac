"""Playbooks through the real command line, workers and sshd."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.stack import Stack, statuses


def results(document: dict[str, Any], task: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for play in document["plays"]:
        for one in play["tasks"]:
            if one["name"] == task:
                found |= one["hosts"]
    return found


def playbook(tasks: str, hosts: str = "h000[1:4]", **play: object) -> str:
    """A play with these tasks; ``hosts`` is a pattern."""
    words = "".join(f"  {key}: {value}\n" for key, value in play.items())
    return f"- hosts: '{hosts}'\n  gather_facts: false\n{words}  tasks:\n{tasks}"


FOUR = "fleet[0:3]"


def test_fifty_hosts_ten_steps_every_one_accounted_for(stack: Stack) -> None:
    tasks = "".join(f"    - name: s{n}\n      command: echo {n}\n" for n in range(10))
    document = stack.play(playbook(tasks, "fleet"))
    for number in range(10):
        assert Counter(statuses(document, f"s{number}").values()) == {"changed": 50}
        assert {result["stdout"] for result in results(document, f"s{number}").values()} == {str(number)}
    assert len(document["stats"]) == 50
    assert all(counts["ok"] == counts["changed"] == 10 for counts in document["stats"].values())
    assert {one["worker"] for one in _workers(stack)} == {"one", "two"}


def _workers(stack: Stack) -> list[dict[str, Any]]:
    """host_started events of the last run."""
    done = stack.opsrunner("watch", "last", "--output", "jsonl")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event for event in events if event["kind"] == "host_started"]


def test_registered_variables_live_across_stages_and_batches(stack: Stack) -> None:
    tasks = """
    - name: say
      shell: echo from {{ inventory_hostname }}
      register: said
    - name: keep
      set_fact: {kept: "{{ said.stdout | upper }}"}
    - name: use
      command: echo {{ kept }} {{ said.rc }} {{ said is changed }}
"""
    document = stack.play(playbook(tasks, FOUR, serial=2))
    for host, result in results(document, "use").items():
        assert result["stdout"] == f"FROM {host.upper()} 0 True"


def test_hostvars_show_what_other_hosts_registered(stack: Stack) -> None:
    tasks = """
    - name: own
      command: echo {{ inventory_hostname }}
      register: own
    - name: others
      debug: {msg: "{{ ansible_play_hosts | map('extract', hostvars, ['own', 'stdout']) | join(' ') }}"}
"""
    document = stack.play(playbook(tasks, FOUR))
    assert {result["msg"] for result in results(document, "others").values()} == {"h0001 h0002 h0003 h0004"}


def test_a_failed_host_goes_no_further_and_the_others_do(stack: Stack) -> None:
    tasks = """
    - name: some fail
      command: test {{ inventory_hostname }} != h0002
    - name: after
      command: echo on
"""
    document = stack.play(playbook(tasks, FOUR), code=2)
    assert statuses(document, "some fail")["h0002"] == "failed"
    assert sorted(statuses(document, "after")) == ["h0001", "h0003", "h0004"]
    assert document["stats"]["h0002"]["failures"] == 1


def test_blocks_rescue_and_always(stack: Stack) -> None:
    tasks = """
    - block:
        - name: try
          command: test {{ inventory_hostname }} != h0002
        - name: went well
          command: echo well
      rescue:
        - name: mend
          command: echo mended
      always:
        - name: anyway
          command: echo anyway
    - name: onward
      command: echo on
"""
    document = stack.play(playbook(tasks, FOUR))
    assert sorted(statuses(document, "went well")) == ["h0001", "h0003", "h0004"]
    assert list(statuses(document, "mend")) == ["h0002"]
    assert len(statuses(document, "anyway")) == len(statuses(document, "onward")) == 4
    assert document["stats"]["h0002"]["rescued"] == 1
    assert document["stats"]["h0002"]["failures"] == 0


def test_handlers_run_once_at_the_end_of_the_section_for_who_notified(stack: Stack) -> None:
    text = """
- hosts: fleet[0:3]
  gather_facts: false
  tasks:
    - name: one
      command: echo one
      changed_when: inventory_hostname in ['h0001', 'h0002']
      notify: restart
    - name: two
      command: echo two
      notify: [restart, topic]
      changed_when: inventory_hostname == 'h0001'
  post_tasks:
    - name: later
      command: echo later
  handlers:
    - name: restart
      command: echo restarted
    - name: listens
      listen: topic
      command: echo heard
"""
    document = stack.play(text)
    assert sorted(statuses(document, "restart")) == ["h0001", "h0002"]
    assert list(statuses(document, "listens")) == ["h0001"]
    order = [task["name"] for task in document["plays"][0]["tasks"]]
    assert order == ["one", "two", "restart", "listens", "later"]


def test_serial_batches_and_max_fail_percentage_stop_the_rest(stack: Stack) -> None:
    tasks = "    - name: fail\n      command: test {{ inventory_hostname }} != h0003\n"
    document = stack.play(playbook(tasks, "fleet[0:7]", serial=2, max_fail_percentage=10), code=2)
    assert sorted(statuses(document, "fail")) == ["h0001", "h0002", "h0003", "h0004"]
    assert document["status"] == "stopped"


def test_any_errors_fatal_stops_the_others_without_counting_them_failed(stack: Stack) -> None:
    tasks = """
    - name: one fails
      command: test {{ inventory_hostname }} != h0002
    - name: never
      command: echo never
"""
    document = stack.play(playbook(tasks, FOUR, any_errors_fatal="true"), code=2)
    assert statuses(document, "never") == {}
    assert [host for host, counts in document["stats"].items() if counts["failures"]] == ["h0002"]


def test_run_once_speaks_for_the_batch(stack: Stack) -> None:
    tasks = """
    - name: once
      command: echo {{ inventory_hostname }}
      run_once: true
      register: leader
    - name: everybody
      debug: {msg: "{{ leader.stdout }}"}
"""
    document = stack.play(playbook(tasks, FOUR))
    assert list(statuses(document, "once")) == ["h0001"]
    assert {result["msg"] for result in results(document, "everybody").values()} == {"h0001"}


def test_free_strategy_lets_hosts_run_ahead(stack: Stack) -> None:
    tasks = """
    - name: slow one
      command: sleep {{ 3 if inventory_hostname == 'h0001' else 0 }}
    - name: second
      command: echo second
"""
    document = stack.play(playbook(tasks, FOUR, strategy="free"))
    assert len(statuses(document, "second")) == 4
    done = stack.opsrunner("watch", "last", "--output", "jsonl")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    order = [(event["step"], event["host"]) for event in events if event["kind"] == "outcome"]
    assert order.index((0, "h0001")) > order.index((1, "h0004"))


def test_delegate_to_and_local_actions(stack: Stack) -> None:
    tasks = """
    - name: there
      command: echo {{ inventory_hostname }}
      delegate_to: h0009
    - name: here
      command: echo {{ inventory_hostname }}
      delegate_to: localhost
"""
    document = stack.play(playbook(tasks, FOUR))
    for task in ("there", "here"):
        assert {host: result["stdout"] for host, result in results(document, task).items()} == {
            f"h000{n}": f"h000{n}" for n in range(1, 5)
        }


def test_files_travel_with_the_run(stack: Stack) -> None:
    (stack.folder / "files").mkdir(exist_ok=True)
    (stack.folder / "templates").mkdir(exist_ok=True)
    (stack.folder / "files" / "plain.txt").write_text("as it is {{ not_rendered }}\n")
    (stack.folder / "templates" / "greeting.j2").write_text("hello {{ inventory_hostname }}\n")
    (stack.folder / "files" / "job.sh").write_text("#!/bin/sh\necho job $1 on $(cat)\n")
    where = stack.folder / "there"
    where.mkdir(exist_ok=True)
    tasks = f"""
    - name: copy
      copy: src=plain.txt dest={where}/plain-{{{{ inventory_hostname }}}} mode=0640
    - name: template
      template: {{src: greeting.j2, dest: "{where}/greeting-{{{{ inventory_hostname }}}}"}}
    - name: script
      script: job.sh seven
"""
    document = stack.play(playbook(tasks, FOUR))
    assert (where / "greeting-h0003").read_text() == "hello h0003\n"
    assert (where / "plain-h0001").read_text() == "as it is {{ not_rendered }}\n"
    assert (where / "plain-h0001").stat().st_mode & 0o777 == 0o640
    assert all(result["stdout"].startswith("job seven") for result in results(document, "script").values())
    again = stack.play(playbook(tasks.partition("    - name: script")[0], FOUR))
    assert set(statuses(again, "copy").values()) == set(statuses(again, "template").values()) == {"ok"}


def test_secrets_are_neither_in_redis_nor_in_the_output(stack: Stack) -> None:
    tasks = """
    - name: quiet
      shell: echo hidden-{{ secret }}
      no_log: true
      register: hidden
    - name: used
      shell: test "{{ hidden.stdout }}" = hidden-tops3cret
      no_log: true
"""
    (stack.folder / "secret.yml").write_text("secret: tops3cret\n")
    document = stack.play(playbook(tasks, FOUR), "-e", "@secret.yml")
    assert set(statuses(document, "used").values()) == {"changed"}
    assert "tops3cret" not in json.dumps(document)
    assert stack.redis
    for key in stack.redis.client.scan_iter("*"):
        assert b"tops3cret" not in stack.redis.client.dump(key)
    assert b"tops3cret" not in b"".join(
        path.read_bytes() for path in (stack.folder / "redis").rglob("*") if path.is_file()
    )


def test_a_step_past_its_timeout_is_killed_on_the_host(stack: Stack) -> None:
    marker = stack.folder / "still-alive"
    tasks = f"    - name: long\n      shell: sleep 4; touch {marker}-{{{{ inventory_hostname }}}}\n      timeout: 1\n"
    document = stack.play(playbook(tasks, "h0001"), code=2)
    assert results(document, "long")["h0001"]["status"] == "failed"
    assert "killed" in json.dumps(results(document, "long"))
    import time

    time.sleep(4)
    assert not Path(f"{marker}-h0001").exists()


def test_unreachable_hosts_are_named_and_the_others_go_on(stack: Stack, tmp_path: Path) -> None:
    text = (stack.folder / "inventory" / "hosts.yml").read_text()
    stack.inventory(
        text.replace("h0002: {ansible_host: 127.1.0.2}", "h0002: {ansible_host: 127.1.0.2, ansible_port: 1}")
    )
    document = stack.play(playbook("    - name: say\n      command: echo hi\n", FOUR), code=4)
    assert statuses(document, "say") == {
        "h0001": "changed", "h0002": "unreachable", "h0003": "changed", "h0004": "changed",
    }  # fmt: skip


def test_what_is_unknown_at_the_step_fails_there_per_host(stack: Stack) -> None:
    tasks = "    - name: uses\n      command: echo {{ nobody_defined_this }}\n"
    document = stack.play(playbook(tasks, FOUR), code=2)
    assert set(statuses(document, "uses").values()) == {"failed"}
    assert "nobody_defined_this" in results(document, "uses")["h0001"]["msg"]


def test_command_not_found_is_rc_127(stack: Stack) -> None:
    document = stack.play(playbook("    - name: none\n      command: no-such-program-here\n", "h0001"), code=2)
    assert results(document, "none")["h0001"]["rc"] == 127


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("- hosts: fleet\n  gather_facts: false\n  tasks:\n    - nmae: x\n      command: y\n", "play.yml:4:7", "name"),
        ("- hosts: fleet\n  gather_facts: false\n  tasks:\n    - comand: y\n", "play.yml:4:7", "command"),
        ("- hosts: fleet\n  gather_facts: false\n  tasks: {a: 1}\n", "play.yml:3:", "list"),
        ("- hosts: fleet\n  tasks: [\n", "play.yml:3:1", "YAML"),
        ("- hosts: nosuchgroup\n  gather_facts: false\n  tasks: []\n", "", "nosuchgroup"),
        ("- hosts: fleet\n  gather_facts: false\n  tasks:\n    - command: echo {{ a +\n", "play.yml:4:", ""),
    ],
)
def test_bad_input_is_refused_with_its_place_and_stores_nothing(
    stack: Stack, text: str, place: str, words: str
) -> None:
    assert stack.redis
    before = stack.redis.client.zcard("opsrunner:runs")
    (stack.folder / "play.yml").write_text(text)
    done = stack.opsrunner("run", "play.yml", code=65)
    assert place in done.stderr
    assert words in done.stderr
    assert stack.redis.client.zcard("opsrunner:runs") == before


def test_template_rules_and_preserved_modes(stack: Stack) -> None:
    (stack.folder / "files").mkdir(exist_ok=True)
    (stack.folder / "templates").mkdir(exist_ok=True)
    (stack.folder / "files" / "tool").write_text("#!/bin/sh\n")
    (stack.folder / "files" / "tool").chmod(0o751)
    (stack.folder / "templates" / "rules.j2").write_text("[[ inventory_hostname ]] {{ as it is }}\n")
    there = stack.folder / "rules"
    there.mkdir(exist_ok=True)
    tasks = f"""
    - name: preserve
      copy: src=tool dest={there}/tool-{{{{ inventory_hostname }}}} mode=preserve
    - name: other delimiters
      template:
        src: rules.j2
        dest: "{there}/rules-{{{{ inventory_hostname }}}}"
        variable_start_string: "[["
        variable_end_string: "]]"
"""
    stack.play(playbook(tasks, "h0001"))
    assert (there / "tool-h0001").stat().st_mode & 0o777 == 0o751
    assert (there / "rules-h0001").read_text() == "h0001 {{ as it is }}\n"


def test_any_errors_fatal_ends_the_playbook_though_others_were_through(stack: Stack) -> None:
    text = """
- hosts: fleet[0:3]
  gather_facts: false
  serial: 2
  any_errors_fatal: true
  tasks:
    - name: fail
      command: test {{ inventory_hostname }} != h0002
- hosts: fleet[4]
  gather_facts: false
  tasks:
    - name: second play
      command: echo no
"""
    document = stack.play(text, code=2)
    assert sorted(statuses(document, "fail")) == ["h0001", "h0002"]
    assert statuses(document, "second play") == {}
    assert document["status"] == "stopped"

"""One playbook carried out by ansible-playbook and by opsrunner: which value of a variable wins, and the magic ones."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from differential.inventory.reference import written
from integration.stack import Stack

#: Where variables may be set, lowest first: each a place in one of the files below.
LEVELS = (
    *("all", "group_vars_all", "playbook_group_vars_all", "parent", "child", "child_of_priority"),
    *("group_vars_parent", "group_vars_child", "playbook_group_vars_parent", "playbook_group_vars_child"),
    *("host", "host_vars", "playbook_host_vars", "play", "vars_file", "vars_file_2", "block", "inner_block", "task"),
    *("fact", "extra"),
)
#: As of one variable each: every pair of levels, and every level with all that are lower.
VARIABLES = {f"pair_{low}_{high}": (low, high) for low, high in itertools.combinations(LEVELS, 2)} | {
    f"up_to_{level}": LEVELS[: number + 1] for number, level in enumerate(LEVELS)
}


def at(level: str, **more: Any) -> dict[str, Any]:
    """What stands at one level: its own name as the value, and hashes, of which none is merged."""
    own = {name: level for name, levels in VARIABLES.items() if level in levels}
    return {**own, "hash": {"from": level, level: 1}, **more}


#: Where the play itself is the highest level.
IN_PLAY = {
    name: f"{{{{ {name} }}}}"
    for name, levels in VARIABLES.items()
    if not {"block", "inner_block", "task", "fact"}.intersection(levels)
}
SHOWN = {name: f"{{{{ {name} }}}}" for name in VARIABLES} | {"hash": "{{ hash }}"}

SHOWN_IN_HANDLER = {name: value for name, value in SHOWN.items() if "block" not in name}

INVENTORY = {
    "all": {
        "vars": at("all", ansible_connection="local", ansible_python_interpreter=sys.executable),
        "children": {
            "parent": {
                "vars": at("parent"),
                "children": {
                    "child": {"vars": at("child"), "hosts": {"h1": at("host"), "h2": None}},
                    "aaa": {"vars": {**at("child_of_priority"), "ansible_group_priority": 5}, "hosts": {"h1": None}},
                },
            },
            "web": {
                "hosts": {
                    "web1.example.org": {"ansible_host": "10.0.0.1", "ansible_user": "u", "lazy": "{{ deep }}"},
                    "web2.example.org": {
                        "deep": "{{ inventory_hostname }} in {{ group_names }} {{ (said | d({})).failed | d('-') }}"
                    },
                    "192.0.2.7": {"inventory_hostname": "lost", "inventory_file": "f", "group_names": ["lost"]},
                    "web4": {"deep": 4},
                },
                "vars": {
                    "deep": "{{ lazier | upper }}",
                    "lazier": "{{ inventory_hostname_short }}",
                    "lazy": "{{ deep }}",
                },
            },
            "away": {"hosts": {"out1": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}}},
            "default": {"hosts": {"far": {"ansible_connection": "ssh"}}},
            "named": {"hosts": {"n1": {"groups": 1, "playbook_dir": 2}}, "vars": {"inventory_dir": "lost"}},
        },
    }
}
MAGIC = (
    *("inventory_hostname", "inventory_hostname_short", "group_names", "groups", "play_hosts", "ansible_play_batch"),
    *("ansible_play_hosts", "ansible_play_hosts_all", "inventory_dir", "inventory_file", "playbook_dir", "environment"),
    *("ansible_check_mode", "ansible_diff_mode", "ansible_verbosity", "ansible_version", "ansible_limit"),
    *("ansible_run_tags", "ansible_skip_tags", "ansible_inventory_sources", "ansible_play_name", "ansible_config_file"),
    *("ansible_search_path", "ansible_facts", "ansible_local", "ansible_loop", "ansible_loop_var", "ansible_index_var"),
    *("role_name", "role_names", "role_path", "ansible_role_name", "ansible_role_names", "ansible_play_role_names"),
    *("ansible_dependent_role_names", "ansible_parent_role_names", "ansible_collection_name", "ansible_forks"),
    *("ansible_host", "ansible_ssh_host", "ansible_user", "ansible_ssh_user", "ansible_port", "ansible_connection"),
    *("ansible_private_key_file", "ansible_password", "ansible_become", "ansible_become_user", "omit", "number"),
)
SHOW_MAGIC = {name: f"{{{{ {name} | default('(none)') }}}}" for name in MAGIC}
#: Some of them are weaker than a play's variables, others stronger.
OVERRIDDEN = (
    *("inventory_hostname", "inventory_hostname_short", "group_names", "groups", "inventory_dir", "inventory_file"),
    *("playbook_dir", "play_hosts", "ansible_play_hosts", "ansible_play_name", "ansible_version", "ansible_limit"),
    *("ansible_facts", "role_name", "role_names", "ansible_host", "hostvars", "vars"),
)
WHERE = {
    name: f"{{{{ {name} }}}}"
    for name in ("ansible_play_batch", "play_hosts", "ansible_play_hosts", "ansible_play_hosts_all")
}
#: Names that are not the same on both sides, or that only one of the two has.
APART = "difference(['opsrunner_run_id', 'opsrunner_version']) | sort"
HOSTVARS = [
    "{{ hostvars.keys() | list }}",
    "{{ hostvars | length }} {{ 'localhost' in hostvars }} {{ 'nobody' in hostvars }} {{ 'web4' in hostvars }}",
    "{{ hostvars | dict2items | map(attribute='key') | list }}",
    "{{ hostvars.values() | map(attribute='inventory_hostname') | list }}",
    "{% for host in hostvars %}{{ host }}{% endfor %}",
    "{{ groups.web | map('extract', hostvars, ['lazy']) | list }}",
    "{{ hostvars['web1.example.org'].lazy }} {{ hostvars.web4.deep }} {{ hostvars['192.0.2.7'].inventory_hostname }}",
    f"{{{{ hostvars.localhost.keys() | {APART} }}}}",
    f"{{{{ hostvars.h2.keys() | {APART} }}}}",
    f"{{{{ vars.keys() | {APART} }}}}",
    "{{ hostvars.localhost.inventory_hostname }} {{ hostvars.localhost.group_names }}",
    "{{ hostvars.localhost.ansible_connection }}",
    "{{ hostvars.nobody is defined }} {{ hostvars.nobody.x is defined }} {{ hostvars.web4.nothing | default('d') }}",
    "{{ hostvars.h2.vars is defined }} {{ hostvars.h2.hostvars is defined }} {{ hostvars.h2.pv is defined }}",
    "{{ hostvars.h2.play_hosts is defined }} {{ hostvars.h2.environment is defined }}",
    "{{ hostvars[inventory_hostname].tv is defined }} {{ hostvars[inventory_hostname].inventory_hostname }}",
    "{{ hostvars.far.ansible_host is defined }} {{ hostvars['web1.example.org'].ansible_host }}",
    "{{ hostvars.h1.fact_of_h1 }} {{ hostvars.h1.registered_of_h1.msg }} {{ hostvars.h2.fact_of_h1 is defined }}",
    "{{ hostvars.localhost.local_fact }} {{ hostvars.h1.later | default('not yet') }}",
    "{{ hostvars['web2.example.org'].deep }} {{ hostvars.h2.pair_all_parent }} {{ hostvars.h2.pair_host_extra }}",
    "{{ vars['inventory_hostname'] }} {{ 'ansible_host' in vars }} {{ vars is defined }}",
]


def debug(name: str, shown: Any, **keywords: Any) -> dict[str, Any]:
    return {"name": name, "debug": {"msg": shown}, **keywords}


def play(hosts: str, *tasks: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    return {"hosts": hosts, "gather_facts": False, "tasks": list(tasks), **keywords}


def block(*tasks: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    return {"block": list(tasks), **keywords}


FAILURE = "{{ ansible_failed_result.msg }} {{ ansible_failed_result.failed }} {{ ansible_failed_task.name }}."

PLAYBOOK = [
    play(
        "h1",
        debug("before facts", IN_PLAY),
        {"name": "set facts", "set_fact": {name: "fact" for name, levels in VARIABLES.items() if "fact" in levels}},
        {"name": "set the hash", "set_fact": {"hash": {"from": "fact"}}},
        block(
            block(
                debug("winners", SHOWN, vars=at("task")),
                debug("winners where another host is sent to", SHOWN, vars=at("task"), delegate_to="h2"),
                vars=at("inner_block"),
            ),
            vars=at("block"),
        ),
        debug("registered", "r", register="pair_host_fact"),
        debug("over facts", "{{ pair_host_fact.msg }}", vars={"pair_host_fact": "task"}),
        {"name": "set again", "set_fact": {"pair_host_fact": "again"}},
        debug("the later counts", "{{ pair_host_fact }}"),
        debug("registered too", "r", register="pair_host_extra"),
        debug("extra over registered", "{{ pair_host_extra }}"),
        debug("loop over all", "{{ up_to_extra }} {{ inventory_hostname }} {{ groups | type_debug }}",
              loop=["item"], loop_control={"loop_var": "up_to_extra", "index_var": "groups"}),
        {"name": "notify", "debug": {"msg": "x"}, "changed_when": True, "notify": "handler"},
        vars=at("play"),
        vars_files=["vars/one.yml", "vars/two.yml"],
        handlers=[debug("handler", SHOWN_IN_HANDLER, vars=at("task"))],
    ),
    play(
        "web:named:far",
        debug("magic", SHOW_MAGIC, register="said"),
        debug("magic of a task", SHOW_MAGIC, environment={"B": "{{ pv }}"}, remote_user="bob",
              vars={"number": "{{ pv + 1 }}"}),
        debug("magic in a loop", SHOW_MAGIC, loop=[1], loop_control={"index_var": "number"}),
        debug("magic where another host is sent to", SHOW_MAGIC,
              delegate_to="{{ 'far' if inventory_hostname == 'web4' else 'web1.example.org' }}"),
        debug("lazy", "{{ deep | default('-') }} {{ lazy | default('-') }}"),
        debug("lazy with more", "{{ deep | default('-') }} {{ lazy | default('-') }}",
              vars={"said": {"failed": "{{ pv }}"}, "lazier": "of the {{ tv }}", "tv": "task"}),
        debug("known by when", "x", when=["ansible_host in (inventory_hostname, '10.0.0.1')", "vars.pv == 1"]),
        name="named {{ 1 + 1 }}",
        environment={"A": "{{ pv }}"},
        vars={"pv": 1},
    ),
    play("localhost", {"name": "local fact", "set_fact": {"local_fact": "lf"}}, debug("local", SHOW_MAGIC)),
    play(
        "h1",
        {"name": "a fact", "set_fact": {"fact_of_h1": "{{ inventory_hostname }}"}},
        debug("registered of h1", "{{ 1 + 1 }}", register="registered_of_h1"),
    ),
    play(
        "h1:web4",
        debug("hostvars", HOSTVARS, vars={"tv": 1}),
        {"name": "later", "set_fact": {"later": "now"}},
        debug("hostvars later", HOSTVARS, delegate_to="localhost"),
        vars={"pv": 1},
    ),
    play(
        "web4",
        debug("overridden", SHOW_MAGIC),
        {"name": "as facts", "set_fact": {"inventory_hostname": "fact", "group_names": "f", "playbook_dir": "f"}},
        debug("overridden by facts", SHOW_MAGIC),
        debug("in hostvars, too", "{{ hostvars.web4.inventory_hostname }} {{ hostvars.web4.playbook_dir }}"),
        vars=dict.fromkeys(OVERRIDDEN, "play"),
    ),
    play(
        "h2",
        block({"name": "fails {{ inventory_hostname }}", "fail": {"msg": "one"}},
              rescue=[debug("rescue", FAILURE)], always=[debug("always", FAILURE)]),
        block(block({"fail": {"msg": "two"}}, always=[debug("inner always", FAILURE)]),
              rescue=[debug("outer rescue", FAILURE)]),
        {"name": "ignored", "fail": {"msg": "three"}, "ignore_errors": True},
        debug("after", FAILURE),
        block({"name": "hidden", "fail": {"msg": "four"}, "no_log": True}, rescue=[debug("no_log", FAILURE)]),
        debug("in hostvars", "{{ hostvars.h2.ansible_failed_result.msg }}"),
    ),
    play(
        "web:out1:h1",
        debug("hosts at first", WHERE),
        {"name": "one fails", "fail": {"msg": "x"}, "when": "inventory_hostname == 'web2.example.org'"},
        {"name": "one is away", "raw": "true", "when": "inventory_hostname == 'out1'"},
        debug("hosts then", WHERE),
        serial=3,
        order="reverse_inventory",
    ),
]  # fmt: skip

FILES = {
    "hosts.yml": INVENTORY,
    "group_vars/all.yml": at("group_vars_all"),
    "group_vars/parent": at("group_vars_parent"),
    "group_vars/child/vars.yml": at("group_vars_child"),
    "host_vars/h1.yml": at("host_vars"),
    "host_vars/n1.yml": {"inventory_hostname": "of a file", "inventory_dir": "{{ inventory_hostname }}"},
    "books/group_vars/all/one.yml": at("playbook_group_vars_all"),
    "books/group_vars/parent.yaml": at("playbook_group_vars_parent"),
    "books/group_vars/child.json": at("playbook_group_vars_child"),
    "books/host_vars/h1": at("playbook_host_vars"),
    "books/vars/one.yml": at("vars_file"),
    "books/vars/two.yml": at("vars_file_2"),
    "books/site.yml": PLAYBOOK,
    "extra.yml": at("extra", ansible_forks=5),
}
WORDS = (
    "books/site.yml",
    "-i",
    "hosts.yml",
    "-e",
    "@extra.yml",
    "-u",
    "joe",
    "--private-key",
    "/k",
    "-l",
    "all:localhost",
)

#: Writes every result down, as the stdout callbacks of ansible-core are for people.
CALLBACK = """
import json
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "stdout", "answers"

    def v2_runner_on_ok(self, result):
        print("ANSWER", json.dumps([result.task.get_name(), result.host.get_name(), result.result], default=str))
"""

Answers = dict[tuple[str, str, int], Any]


def by_ansible(folder: Path) -> Answers:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment = {
        **kept,
        "HOME": str(folder),
        "ANSIBLE_CALLBACK_PLUGINS": str(folder / "callbacks"),
        "ANSIBLE_STDOUT_CALLBACK": "answers",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
        "ANSIBLE_FORKS": "5",
        "LC_ALL": "C.UTF-8",
    }
    command = [sys.executable, "-m", "ansible", "playbook", *WORDS]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    lines = [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert len(lines) > 50, done.stdout + done.stderr
    return told([json.loads(line) for line in lines])


def by_opsrunner(folder: Path, state: Path) -> Answers:
    with Stack(state) as stack:
        stack.worker("one")
        stack.folder = folder
        done = stack.opsrunner("run", *WORDS, "--output", "json", code=None)
        document = json.loads(done.stdout)
    return told(
        [
            (task["name"], host, result)
            for one in document["plays"]
            for task in one["tasks"]
            for host, result in task["hosts"].items()
            if result["status"] in ("ok", "changed")
        ]
    )


def told(found: Any) -> Answers:
    """What each task told on each host, by the task's name, the host and how often it came by before."""
    answers: Answers = {}
    for task, host, result in found:
        number = next(number for number in itertools.count() if (task, host, number) not in answers)
        messages = [item["msg"] for item in result["results"]] if "results" in result else result.get("msg")
        answers[task, host, number] = messages
    return answers


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answers, Answers]]:
    folder = tmp_path_factory.mktemp("variables").resolve()
    written({name: yaml.safe_dump(data, sort_keys=False) for name, data in FILES.items()}, folder)
    written({"callbacks/answers.py": CALLBACK}, folder)
    yield by_ansible(folder), by_opsrunner(folder, tmp_path_factory.mktemp("state"))


TASKS = [
    *("before facts", "winners", "winners where another host is sent to", "over facts", "the later counts"),
    *("extra over registered", "loop over all", "handler", "magic", "magic of a task", "magic in a loop"),
    *("magic where another host is sent to", "lazy", "lazy with more", "known by when", "local", "hostvars"),
    *("hostvars later", "overridden", "overridden by facts", "in hostvars, too", "rescue", "always", "inner always"),
    *("outer rescue", "after", "no_log", "in hostvars", "hosts at first", "hosts then"),
]


@pytest.mark.parametrize("task", TASKS)
def test_both_tell_the_same(both: tuple[Answers, Answers], task: str) -> None:
    theirs, ours = ({key: told for key, told in answers.items() if key[0] == task} for answers in both)
    assert theirs
    assert set(ours) == set(theirs)
    for key, expected in theirs.items():
        assert ours[key] == expected, key


def test_no_task_is_left_out(both: tuple[Answers, Answers]) -> None:
    """Every debug task that told something is compared."""
    named = {task for task, _host, _number in both[0]}
    assert {task["name"] for one in PLAYBOOK for task in one["tasks"] if "debug" in task} <= named

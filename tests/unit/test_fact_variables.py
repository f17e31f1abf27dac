"""Facts as variables of a host."""

from __future__ import annotations

from opsrunner.executor.facts import FACTS, FactVariables, cleared, without_facts


def test_a_fact_is_a_variable_twice() -> None:
    facts = FactVariables({"ansible_kernel": "6.1", "ansible_local": {"a": 1}, "services": {}})
    assert facts[FACTS] == {"kernel": "6.1", "ansible_local": {"a": 1}, "services": {}}
    assert {name: facts[name] for name in facts} == {
        FACTS: facts[FACTS],
        "ansible_kernel": "6.1",
        "ansible_local": {"a": 1},
        "services": {},
    }
    assert FactVariables({})[FACTS] == {}


def test_what_a_host_says_never_tells_how_it_is_reached() -> None:
    said = {"ansible_host": "10.0.0.1", "ansible_ssh_common_args": "-oProxyCommand=x", "ansible_become_user": "root"}
    facts = FactVariables({**said, "ansible_ssh_host_key_rsa_public": "key"})
    assert set(facts) == {FACTS, "ansible_ssh_host_key_rsa_public"}
    assert all(name not in facts for name in said)
    assert facts[FACTS]["host"] == "10.0.0.1"


def test_facts_are_not_shown() -> None:
    assert without_facts({"changed": False, FACTS: {"x": 1}, "results": [{FACTS: {}, "item": 1}]}) == {
        "changed": False,
        "results": [{"item": 1}],
    }
    assert cleared() == {FACTS: {}}

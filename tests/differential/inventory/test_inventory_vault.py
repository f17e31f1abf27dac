"""Texts that ansible-core encrypted, inventories that hold them, and what templates make of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from differential.inventory.reference import Reference, written
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner import passwords, vault
from opsrunner.inventory import listing, load
from opsrunner.templating import Layer, LookupContext, Scope, Templar, TemplateFailure
from opsrunner.vault import Secret, Vault
from tests.vaulted import encrypted, inline

pytestmark = pytest.mark.usefixtures("ansible")
PASSWORDS = {"default": "pass word", "prod": "pröd\tword"}


def theirs() -> Any:
    from ansible.parsing.vault import VaultLib, VaultSecret

    return VaultLib([(label, VaultSecret(password.encode())) for label, password in PASSWORDS.items()])


def ours() -> Vault:
    return Vault([Secret(label, password.encode()) for label, password in PASSWORDS.items()])


@pytest.mark.parametrize("label", [None, "default", "prod", "nobody"])
@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 16, "grüße ☃\r\n".encode(), bytes(range(256)) * 1000])
def test_what_ansible_encrypted_opens(label: str | None, data: bytes) -> None:
    from ansible.parsing.vault import VaultSecret

    secret = VaultSecret(PASSWORDS.get(label or "default", PASSWORDS["default"]).encode())
    text = theirs().encrypt(data, secret, vault_id=label).decode()
    assert ours().open(text) == data
    assert ours().open(text.replace("\n", "\r\n")) == data
    # What other tests are made of is what Ansible writes.
    shown = "" if label in (None, "default") else label
    salt = vault.parse(text).salt
    assert encrypted(data, secret.bytes.decode(), label=str(shown), salt=salt) == text


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data())
def test_what_was_changed_opens_alike(data: st.DataObject) -> None:
    from ansible.errors import AnsibleError

    text = encrypted("secret text", PASSWORDS["default"])
    at = data.draw(st.integers(0, len(text) - 1))
    changed = (
        text[:at] + data.draw(st.sampled_from(["", "\n", "\r", " ", ";", "0", "f", "F", "3", "x"])) + text[at + 1 :]
    )
    try:
        expected: bytes | None = theirs().decrypt(changed)
    except (AnsibleError, UnicodeError, ValueError):
        expected = None
    try:
        found: bytes | None = ours().open(changed)
    except vault.VaultError as error:
        found = None
        # Ansible does not look at the version, and of a header only at how it begins.
        if expected is not None and ("version" in error.what or "first line" in str(error.why)):
            return
    assert (changed, found) == (changed, expected)


def test_passwords_are_read_alike(tmp_path: Path) -> None:
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import get_file_vault_secret

    for number, text in enumerate(
        [b" pw \r\n", b"\n\npw\n\n", b"p w", "pö\n".encode(), encrypted("in\n", "p").encode()]
    ):
        for executable in (False, True):
            path = tmp_path / f"{number}{executable}"
            path.write_bytes(b"#!/bin/sh\ncat <<'E'\n" + text + b"\nE\n" if executable else text)
            path.chmod(0o700 if executable else 0o600)
            loader = DataLoader()
            from ansible.parsing.vault import VaultSecret

            loader.set_vault_secrets([("x", VaultSecret(b"p"))])
            secret = get_file_vault_secret(str(path), "x", loader=loader)
            secret.load()
            assert passwords.from_file(str(path), known=[Secret("x", b"p")]).password == secret.bytes


# ------------------------------------------------------------------ inventories

TAGGED = f"""\
all:
  vars:
    one: {inline("first", PASSWORDS["default"])}
    two: [{{deep: !vault "no vault text"}}, !unsafe "{{{{ x }}}}"]
    three: !unsafe {{a: "{{{{ y }}}}", b: [1, yes, "2", ~], "{{{{ k }}}}": "v"}}
    four: !unsafe "5"
    five: !unsafe yes
  hosts:
    h:
      own: {inline("host's", PASSWORDS["prod"], label="prod")}
"""
JSON = {
    "v": {"__ansible_vault": encrypted("x")},
    "u": [{"__ansible_unsafe": "{{ x }}", "more": 1}],
    "plain": {"__ansible_vault_": "x"},
}


@pytest.fixture
def opening() -> Iterator[None]:
    with vault.using(ours()):
        yield


@pytest.mark.parametrize("source", ["hosts.yml", "hosts.json"])
def test_listings_show_values_alike(tmp_path: Path, source: str) -> None:
    from ansible._internal._json._profiles import _inventory_legacy
    from ansible.parsing.yaml.dumper import AnsibleDumper

    text = TAGGED if source == "hosts.yml" else json.dumps({"all": {"hosts": {"h": JSON}}})
    base = written({source: text, "group_vars/all.yml": "file: !unsafe '{{ f }}'\n"}, tmp_path)
    inventory, reference = load([source], base=base), Reference([source], base)
    variables = reference.raw_variables("h")
    meta = {"_meta": {"hostvars": {"h": variables}}}
    expected = json.loads(json.dumps(meta, cls=_inventory_legacy.Encoder, sort_keys=True))["_meta"]
    shown = listing.as_json(listing.listing(inventory), mark_unsafe=True)
    assert json.loads(shown)["_meta"]["hostvars"] == expected["hostvars"]
    alone = json.dumps(variables, cls=_inventory_legacy.Encoder, sort_keys=True, indent=4)
    assert json.loads(listing.as_json(listing.host_variables(inventory, "h"))) == json.loads(alone)
    import yaml

    in_yaml = yaml.dump(variables, Dumper=AnsibleDumper, default_flow_style=False, allow_unicode=True)
    assert listing.as_yaml(listing.host_variables(inventory, "h")) == in_yaml.rstrip("\n")


def test_encrypted_files_are_read_alike(tmp_path: Path, opening: None) -> None:
    files = {
        "inv/hosts.yml": encrypted("all: {hosts: {h: {a: '{{ b }}'}}, vars: {n: 1e3}}", PASSWORDS["default"]),
        "inv/more.json": encrypted('{"g": {"hosts": {"h": {"n": 1e3}}}}', PASSWORDS["prod"], label="prod"),
        "inv/group_vars/g/vault.yml": encrypted("v: 1\nw: [x]\n", PASSWORDS["prod"], label="nobody"),
        "inv/host_vars/h": encrypted("z: 2020-01-02\n", PASSWORDS["default"]),
    }
    base = written(files, tmp_path)
    inventory, reference = load(["inv"], base=base), Reference(["inv"], base, secrets=theirs().secrets)
    assert list(inventory.hosts) == [str(name) for name in reference.manager.hosts]
    assert listing.host_variables(inventory, "h") == reference.variables("h")


# ------------------------------------------------------------------ templates

VALUES = f"""\
x: X
secret: {inline("top {{ x }}", PASSWORDS["default"])}
closed: {inline("y", "another password")}
raw: !unsafe "{{{{ x }}}}"
raws: !unsafe [{{a: "{{{{ x }}}}"}}]
by_secret: "<{{{{ secret }}}}>"
by_raw: "{{{{ raw }}}}"
condition: !unsafe "1 == 1"
mixed: ["{{{{ x }}}}", !unsafe "{{{{ x }}}}"]
"""
TEMPLATES = [
    *("{{ secret }}", "{{ raw }}", "{{ raws }}", "{{ by_secret }}", "{{ by_raw }}", "{{ mixed }}", "a {{ raw }} b"),
    *("{{ secret | upper }}", "{{ secret ~ raw }}", "{{ [secret] }}", "{{ [secret] | to_json }}", "{{ secret[0] }}"),
    *("{{ secret == 'top {{ x }}' }}", "{{ secret | length }}", "{{ raws[0].a }}", "{{ raws | first }}"),
    *("{{ secret is string }}", "{{ closed }}", "{{ closed | default('d') }}", "{{ closed is defined }}"),
    *("{{ [closed, 1][1] }}", "{{ [closed] }}", "{{ closed if false else 1 }}", "{{ secret | type_debug }}"),
    *("{{ {'k': secret}['k'] }}", "{% set y = raw %}{{ y }}", "{% for one in mixed %}{{ one }},{% endfor %}"),
    *("{{ lookup('vars', 'raw') }}", "{{ secret | b64encode }}", "{{ mixed | join('-') }}", "{{ secret | quote }}"),
]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("values") / "v.yml"
    path.write_text(VALUES)
    return path


def answer(render: Any) -> Any:
    from ansible.errors import AnsibleError

    try:
        return render()
    except (AnsibleError, TemplateFailure):
        return "failed"


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_render_tagged_values_alike(template: str, values: Path, opening: None, monkeypatch: Any) -> None:
    from ansible._internal._templating._engine import TemplateEngine
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import VaultSecretsContext
    from ansible.template import trust_as_template

    from opsrunner.plan import datafile

    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(theirs().secrets))
    loader = DataLoader()
    engine = TemplateEngine(loader=loader, variables=loader.load_from_file(str(values), trusted_as_template=True))
    templar = Templar(lookups=LookupContext(environment={}, read_file=str, directory="/"))
    scope = Scope(templar, [Layer(datafile.read(values, pytest.fail), templated=True)])
    expected = answer(lambda: engine.template(trust_as_template(template)))
    found = answer(lambda: templar.render(template, scope))
    assert found == expected


def test_unsafe_conditions_are_refused_alike(values: Path) -> None:
    from opsrunner.plan import datafile

    templar = Templar(lookups=LookupContext(environment={}, read_file=str, directory="/"))
    scope = Scope(templar, [Layer(datafile.read(values, pytest.fail), templated=True)])
    for condition in ("{{ condition }}", datafile.read(values, pytest.fail)["condition"], "{{ secret }}"):
        with pytest.raises(TemplateFailure), vault.using(ours()):
            templar.condition(condition, scope)

"""Which encrypted values a plan opens, what it says of those that stay closed, and where none of it may show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner import vault
from opsrunner.cli.plan import describe
from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, load
from opsrunner.modules.contract import STILL_ENCRYPTED
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.command import compile_exec
from opsrunner.plan.extra_vars import parse_extra_vars
from opsrunner.plan.model import Compiled, Options
from opsrunner.plan.paths import key_of
from opsrunner.plan.read import read_again, read_playbook
from opsrunner.plan.revise import differences
from opsrunner.tagged import Encrypted, Verbatim
from opsrunner.vault import Secret, Vault
from tests.unit.plan.conftest import Project
from tests.vaulted import PASSWORD, encrypted, inline

HEAD = "- hosts: web\n  gather_facts: false\n"


class Counted(Vault):
    """A vault that knows which texts it opened."""

    def __init__(self) -> None:
        super().__init__([Secret("default", PASSWORD.encode())])
        self.texts: list[str] = []

    def open(self, text: str) -> bytes:
        data = super().open(text)
        self.texts.append(data.decode())
        return data


@pytest.fixture
def opening() -> Iterator[Counted]:
    counted = Counted()
    with vault.using(counted):
        yield counted


def values(**texts: str) -> str:
    return "".join(f"{name}: {inline(text)}" for name, text in texts.items())


# ------------------------------------------------------------------ what is opened


@pytest.mark.parametrize(
    ("task", "opened"),
    [
        ("command: echo {{ a }}", {"A"}),
        ("command: echo {{ indirect }}", {"A"}),
        ("command: echo x", set()),
        ("{command: echo x, when: a == 'A'}", {"A"}),
        ("{command: echo x, environment: {X: '{{ b }}'}}", {"B"}),
        ("{command: echo x, vars: {y: '{{ b }}'}}", {"B"}),
        ("{command: 'echo {{ item }}', loop: ['{{ a }}']}", {"A"}),
        ("debug: var=b", {"B"}),
        ("assert: {that: [deep.x == 'D']}", {"D"}),
        ("template: {src: t.j2, dest: /x}", {"B"}),
        # What is looked at cannot be told from these: everything of all hosts.
        ("debug: msg={{ lookup('vars', 'b' ~ '') }}", {"A", "B", "D", "W", "O"}),
        ("debug: msg={{ vars }}", {"A", "B", "D", "W", "O"}),
        ("debug: msg={{ hostvars.db1.o }}", {"A", "B", "D", "W", "O"}),
        ("{command: echo x, when: '{{ a }}'}", {"A", "B", "D", "W", "O"}),
        ("{template: {src: t.j2, dest: /x, variable_start_string: '[['}}", {"A", "B", "D", "W", "O"}),
    ],
)
def test_what_the_plays_lead_to_is_opened(project: Project, opening: Counted, task: str, opened: set[str]) -> None:
    project.write("group_vars/all.yml", values(a="A", b="B") + "indirect: '{{ a }}'\ndeep: {x: " + quoted("D") + "}\n")
    project.write("host_vars/web1.yml", values(w="W"))
    project.write("host_vars/db1.yml", values(o="O"))
    project.write("templates/t.j2", "{{ b }}\n")
    project.compile(f"{HEAD}  tasks:\n    - {task}\n")
    assert set(opening.texts) == opened


def quoted(text: str) -> str:
    return '!vault "' + encrypted(text).replace("\n", "\\n") + '"'


def test_connection_variables_of_the_plays_hosts_are_opened(project: Project, opening: Counted) -> None:
    project.write("group_vars/all.yml", "ansible_password: '{{ login }}'\n" + values(login="L", other="X"))
    project.write("host_vars/web1.yml", values(ansible_become_password="W"))
    project.write("host_vars/db1.yml", values(ansible_become_password="D"))
    project.compile(f"{HEAD}  tasks:\n    - ping:\n")
    assert set(opening.texts) == {"L", "W"}
    opening.texts.clear()
    compile_exec("db1", ["{{ other }}"], project.inventory(), Options(), {})
    assert set(opening.texts) == {"L", "D"}


def test_values_of_steps_play_vars_and_the_command_line(project: Project, opening: Counted) -> None:
    compiled = project.compile(
        f"{HEAD}  vars:\n    p: {inline('P')}    unused: {inline('U')}"
        f"  tasks:\n    - copy:\n        dest: /x\n        content: {inline('C {{ p }}')}"
        "    - command: echo {{ p }} {{ e }}\n",
        {"e": Encrypted(encrypted("E"))},
    )
    assert set(opening.texts) == {"P", "C {{ p }}", "E"}
    again = decode(encode(compiled.plan))
    assert again == compiled.plan
    content = again.plays[0].steps[0].arguments["content"]
    with vault.using(Vault()):
        assert content.read() == "C {{ p }}"


def test_extra_vars_may_be_encrypted_in_json_and_in_files(tmp_path: Path, opening: Counted) -> None:
    (tmp_path / "more.yml").write_text(encrypted("b: !unsafe '{{ x }}'\n"))
    given = json.dumps({"a": {"__ansible_vault": encrypted("A")}, "u": [{"__ansible_unsafe": "{{ x }}"}]})
    found = parse_extra_vars([given, "@more.yml"], tmp_path, pytest.fail)
    assert found["a"].read() == "A"
    assert [type(value) for value in (found["u"][0], found["b"])] == [Verbatim, Verbatim]
    with vault.using(Vault()), pytest.raises(InputError, match=r"more.yml is encrypted with Ansible Vault"):
        parse_extra_vars(["@more.yml"], tmp_path, pytest.fail)


# ------------------------------------------------------------------ what stays closed


def test_a_closed_value_that_a_step_uses_is_a_fault_at_its_place(project: Project) -> None:
    project.write("group_vars/web.yml", "x: 1\n" + values(secret="A", unused="B"))
    with vault.using(Vault()):
        (fault,) = project.faults(f"{HEAD}  tasks:\n    - command: echo {{{{ secret }}}}\n")
    assert str(fault.place).endswith("group_vars/web.yml:2:9")
    assert "site.yml:4:7 uses it" in str(fault.why)
    assert "no vault password was given" in str(fault.why)
    assert "--vault-password-file" in str(fault.remedy)


def test_a_closed_value_that_no_host_of_the_play_has_is_none(project: Project, opening: Counted) -> None:
    closed = inline("A", "another password")
    project.write("group_vars/db.yml", f"secret: {closed}")
    project.write("group_vars/all.yml", f"secret: {closed}")
    project.write("group_vars/web.yml", "secret: plain\n")
    task = "  tasks:\n    - command: echo {{ secret }}\n"
    compiled = project.compile(f"{HEAD}{task}")
    assert len(project.faults(f"{HEAD.replace('web', 'all')}{task}")) == 1
    stored = Inventory.from_data(decode(encode(compiled.plan)).inventory)
    with vault.using(Vault()), pytest.raises(InputError, match="no vault password"):
        stored.variables("db1")["secret"].read()


def test_closed_values_of_steps_are_faults_with_all_others(project: Project) -> None:
    faults = project.faults(f"{HEAD}  tasks:\n    - copy: {{dest: /x, content: !vault 'y'}}\n    - nosuch:\n")
    assert [str(fault.place).rpartition("/")[2] for fault in faults] == ["site.yml:4:33", "site.yml:5:7"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  tasks:\n    - ping:\n      become_user: !vault x\n", "become_user takes a text, not an encrypted value"),
        ("  tasks:\n    - shell: !vault x\n", "not an encrypted value"),
        ("  tasks:\n    - ping:\n      when: !vault x\n", "when takes expressions, not an encrypted value"),
        ("  tasks:\n    - ping:\n      when: !unsafe x\n", "!unsafe text is never evaluated"),
        ("  tasks:\n    - assert: {that: !unsafe x}\n", "!unsafe text is never evaluated"),
        ("  vars_files: [!vault x]\n", "takes paths"),
    ],
)
def test_where_tagged_texts_cannot_stand(project: Project, text: str, words: str) -> None:
    (fault,) = project.faults(HEAD + text)
    assert words in fault.what
    assert fault.place


def test_unsafe_texts_are_never_templates(project: Project) -> None:
    (step,) = project.steps(
        "  tasks:\n    - command: {argv: [echo, !unsafe '{{ 1 + }}']}\n      name: !unsafe '{{ x'\n"
    )
    assert type(step.arguments["argv"][1]) is Verbatim


# ------------------------------------------------------------------ files


def test_whole_files_are_opened(project: Project, opening: Counted) -> None:
    project.write("secrets.yml", encrypted("s: 1\n"))
    project.write("files/key", encrypted("private key"))
    project.write("templates/t.j2", encrypted("{{ s }}"))
    tasks = (
        "- copy: {src: key, dest: /k}\n- copy: {src: key, dest: /k2, decrypt: false}\n- template: {src: t.j2, dest: /t}"
    )
    compiled = project.compile(
        encrypted(f"{HEAD}  vars_files: [secrets.yml]\n  tasks:\n    " + tasks.replace("\n", "\n    "))
    )
    assert compiled.plan.plays[0].vars_from_files == {"s": 1}
    found = {name: compiled.files[digest] for name, digest in compiled.plan.files.items()}
    assert found["files/key"] == b"private key"
    assert found["still encrypted/key"] == encrypted("private key").encode()
    assert found["templates/t.j2"] == b"{{ s }}"


def test_the_digest_of_an_opened_file_does_not_give_it_away(project: Project, opening: Counted) -> None:
    from hashlib import sha256

    project.write("files/pin", encrypted("1234"))
    compiled = project.compile(f"{HEAD}  tasks:\n    - copy: {{src: pin, dest: /k}}\n")
    assert compiled.plan.files["files/pin"] != sha256(b"1234").hexdigest()


def test_a_closed_file_that_a_step_names_is_a_fault_and_one_that_it_may_name_a_warning(project: Project) -> None:
    project.write("files/a", encrypted("x"))
    (fault,) = project.faults(f"{HEAD}  tasks:\n    - copy: {{src: a, dest: /k}}\n")
    assert "files/a is encrypted with Ansible Vault" in fault.what
    compiled = project.compile(f"{HEAD}  tasks:\n    - copy: {{src: '{{{{ from_host }}}}', dest: /k}}\n")
    assert "files/a" not in compiled.plan.files
    assert "not taken along" in compiled.warnings[0]
    (fault,) = project.faults(f"{HEAD}  tasks:\n    - copy: {{src: a, dest: /k, decrypt: '{{{{ x }}}}'}}\n")
    assert "decrypt cannot be a template" in fault.what
    project.compile(f"{HEAD}  tasks:\n    - set_fact: {{decrypt: '{{{{ x }}}}'}}\n")


def test_no_line_of_an_encrypted_template_or_playbook_is_quoted(project: Project, opening: Counted) -> None:
    project.write("templates/t.j2", encrypted("hunter2 {{ x | nosuch }}"))
    (fault,) = project.faults(f"{HEAD}  tasks:\n    - template: {{src: t.j2, dest: /x}}\n")
    assert "hunter2" not in "\n".join(fault.lines())
    (fault,) = project.faults(encrypted(f"{HEAD}  tasks:\n    - shell: echo hunter2\n      nosuch: 1\n"))
    assert "hunter2" not in "\n".join(fault.lines())


# ------------------------------------------------------------------ where it does not show


def test_a_plan_shows_no_secret(project: Project, opening: Counted) -> None:
    text = f"{HEAD}  vars:\n    p: {inline('hunter2')}  tasks:\n"
    text += f"    - command:\n        argv:\n          - {inline('hunter2', indent=14)}          - '{{{{ p }}}}'\n"
    text += f"    - copy:\n        dest: /x\n        content: {inline('hunter2')}"
    compiled = project.compile(text)
    shown = "\n".join(describe(compiled.plan))
    assert "(encrypted)" in shown
    assert "hunter2" not in f"{shown}{compiled!r}"


def test_what_changed_is_told_without_secrets(tmp_path: Path, opening: Counted) -> None:
    def read(secret: str, password: str = PASSWORD) -> Compiled:
        (tmp_path / "hosts.yml").write_text(f"all:\n  hosts: {{h: }}\n  vars:\n    v: {inline(secret, password)}")
        (tmp_path / "p.yml").write_text(
            f"- hosts: all\n  gather_facts: false\n  tasks:\n    - command: echo {{{{ v }}}}\n"
            f"    - copy:\n        dest: /x\n        content: {inline(secret, password)}"
        )
        return read_playbook(tmp_path / "p.yml", ["hosts.yml"], Options(), {}, base=tmp_path)

    old = decode(encode(read("hunter2").plan))
    assert differences(old, read_again(old).plan) == ()
    new = read("hunter3").plan
    told = [one.text for one in differences(old, new)]
    assert any("content: " in text for text in told)
    assert "variables changed: v" in told
    assert not any("hunter" in text for text in told)
    with vault.using(Vault([Secret("x", b"new password")])):
        # The same secrets, encrypted anew: no variable and no step has changed.
        assert differences(old, read("hunter2", "new password").plan) == ()


def test_a_zone_may_be_encrypted(project: Project, opening: Counted) -> None:
    project.write("group_vars/web.yml", values(opsrunner_zone="berlin"))
    inventory = load([str(project.directory / "hosts.yml")], base=project.directory)
    assert list(compile_exec("web", ["x"], inventory, Options()).plan.zones) == ["berlin"]


# ------------------------------------------------------------------ roles


def test_values_of_roles_are_opened_where_they_are_used(project: Project, opening: Counted) -> None:
    project.write("roles/r/defaults/main.yml", values(d="D", unused="U"))
    project.write("roles/r/vars/main.yml", values(v="V"))
    project.write("roles/r/tasks/main.yml", "- command: echo {{ d }} {{ v }} {{ p }} {{ i }}\n")
    given = quoted("P")
    play = f"{HEAD}  roles: [{{role: r, p: {given}, i: 1}}]\n  tasks:\n    - include_role: {{name: r}}\n"
    compiled = project.compile(f"{play}      vars: {{p: 1, i: {quoted('I')}}}\n")
    assert set(opening.texts) == {"D", "V", "P", "I"}
    again = decode(encode(compiled.plan)).plays[0]
    with vault.using(Vault()):
        assert [again.roles[0].defaults["d"].read(), again.roles[0].params["p"].read()] == ["D", "P"]
        assert [again.role_vars["v"].read(), again.steps[-1].params["i"].read()] == ["V", "I"]


def test_closed_values_of_roles_are_faults_where_they_are_used(project: Project) -> None:
    project.write("roles/r/defaults/main.yml", values(d="D", hidden="H", unused="U"))
    project.write("roles/r/vars/main.yml", values(v="V"))
    project.write("roles/r/tasks/main.yml", "- command: echo {{ d }} {{ v }} {{ hidden }}\n")
    project.write("group_vars/all.yml", "hidden: seen\n")
    with vault.using(Vault()):
        faults = project.faults(f"{HEAD}  roles: [r]\n")
    places = {str(fault.place).rpartition("roles/")[2] for fault in faults}
    assert places == {"r/defaults/main.yml:1:4", "r/vars/main.yml:1:4"}


def test_files_of_roles_may_be_encrypted(project: Project, opening: Counted) -> None:
    parts = {"tasks": "- {include_tasks: more.yml, vars: {x: '{{ d }} {{ v }}'}}", "defaults": "d: 1", "vars": "v: 2"}
    parts |= {"handlers": "- {ping: , name: h}", "meta": "dependencies: [base]"}
    for part, text in parts.items():
        project.write(f"roles/r/{part}/main.yml", encrypted(f"{text}\n"))
    project.write("roles/r/tasks/more.yml", encrypted("- template: {src: t, dest: /x}\n  notify: h\n"))
    project.write("roles/r/templates/t", encrypted("{{ x }}\n"))
    project.write("roles/base/tasks/main.yml", "- ping:\n")
    compiled = project.compile(f"{HEAD}  roles: [r]\n")
    play = compiled.plan.plays[0]
    assert [step.module for step in play.steps] == ["ping", "include_tasks", "template", "ping"]
    assert (play.roles[0].defaults, play.roles[0].vars) == ({"d": 1}, {"v": 2})
    assert b"{{ x }}\n" in compiled.files.values()


def test_files_of_roles_that_stay_closed_are_told_with_their_names(project: Project) -> None:
    for part in ("tasks", "defaults", "meta"):
        project.write(f"roles/r/{part}/main.yml", encrypted("x: 1\n"))
    with vault.using(Vault()):
        faults = project.faults(f"{HEAD}  roles: [r]\n")
    assert {str(fault.place).rpartition("roles/")[2] for fault in faults} == {
        f"r/{part}/main.yml:1:1" for part in ("tasks", "defaults", "meta")
    }
    assert all("no vault password was given" in str(fault.why) for fault in faults)


def test_roles_that_differ_in_encrypted_parameters_both_run(project: Project, opening: Counted) -> None:
    project.write("roles/r/tasks/main.yml", "- command: echo {{ p }}\n")
    roles = ", ".join(f"{{role: r, p: {quoted(text)}}}" for text in ("one", "two", "one"))
    assert len(project.play(f"{HEAD}  roles: [{roles}]\n").steps) == 2


def test_files_beside_a_role_travel_opened_and_as_they_lie(project: Project, opening: Counted) -> None:
    project.write("roles/r/files/secret", encrypted("text"))
    project.write(
        "roles/r/tasks/main.yml",
        "- copy: {src: secret, dest: /x}\n- copy: {src: secret, dest: /y, decrypt: false}\n",
    )
    compiled = project.compile(f"{HEAD}  roles: [r]\n")
    search = compiled.plan.plays[0].steps[0].search
    found = {key: compiled.files[digest] for key, digest in compiled.plan.files.items()}
    assert found == {
        key_of(search, "files", "secret"): b"text",
        key_of(search, STILL_ENCRYPTED, "secret"): encrypted("text").encode(),
    }

"""What changed between a run's plan and its sources as they are now, and whether the run can go on with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from opsrunner.errors import InputError
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.model import Options, Plan
from opsrunner.plan.read import absent, read_again, read_command, read_playbook
from opsrunner.plan.revise import changed_files, differences, revised
from tests.unit.plan.conftest import HOSTS, Project

ROOT = Path(__file__).parents[3]

PLAYBOOK = """\
- name: site
  hosts: web
  gather_facts: false
  vars: {port: 80, password: s3cret}
  tasks:
    - name: look
      command: uptime
    - name: configure
      copy: {content: "listen 80", dest: /etc/app.conf}
      notify: restart
    - block:
        - name: try
          shell: appctl migrate
      rescue:
        - name: go back
          shell: appctl rollback
  post_tasks:
    - name: announce
      debug: {msg: done}
  handlers:
    - name: restart
      service: {name: nginx, state: restarted}
"""


def read(project: Project, text: str, **options: Any) -> Plan:
    path = project.write("site.yml", text)
    compiled = read_playbook(path, ["hosts.yml"], Options(**options), {"extra": 1}, base=project.directory)
    # As it comes back from the ledger.
    return decode(encode(compiled.plan))


def again(old: Plan) -> Plan:
    return read_again(old).plan


def told(old: Plan, new: Plan) -> list[str]:
    return [f"{','.join(one.hosts)}: {one.text}" if one.hosts else one.text for one in differences(old, new)]


# ---------------------------------------------------------------------- nothing changed
ODD = {
    "a random host": "- hosts: \"{{ ['web1', 'web2', 'web3', 'web4'] | random }}\"\n  tasks: [{ping: }]\n",
    "shuffled hosts": "- hosts: \"{{ ['web1', 'web2', 'web3', 'web4', 'db1'] | shuffle }}\"\n  tasks: [{ping: }]\n",
    "a random size": '- hosts: web\n  serial: "{{ [1, 2, 3, 4] | random }}"\n  tasks: [{ping: }]\n',
    "a name with the time": "- name: \"at {{ now().strftime('%f') }}\"\n  hosts: web\n  tasks: [{ping: }]\n",
    "a random order": "- hosts: web\n  order: \"{{ ['sorted', 'reverse_sorted'] | random }}\"\n  tasks: [{ping: }]\n",
    "random tags": "- hosts: web\n  tasks:\n    - ping:\n      tags: [\"{{ ['a', 'b', 'c'] | random }}\"]\n",
    "templates kept": (
        "- hosts: web\n  tasks:\n    - command: echo {{ 9999 | random }} {{ now() }}\n      when: [yes, x != 1]\n"
    ),
    "dates and numbers": (
        "- hosts: web\n  vars: {d: 2020-01-02, n: 1.0, o: 0o7, t: 12:30:00, m: {1: x}}\n  tasks: [{ping: }]\n"
    ),
    "environments": (
        '- hosts: web\n  environment: ["{{ more }}", {A: b}]\n  vars: {more: {C: d}}\n  tasks: [{ping: }]\n'
    ),
    "loops": (
        "- hosts: web\n  tasks:\n    - debug: {msg: x}\n      loop: [[1, {a: b}], 2]\n"
        '      loop_control: {loop_var: one, label: "{{ one }}", pause: 1}\n'
        "    - debug: {msg: x}\n      with_items: [[1, 2], 3]\n"
    ),
    "all sections": (
        "- hosts: web\n  pre_tasks: [{ping: , notify: h}]\n  tasks: [{ping: }]\n  post_tasks: [{ping: }]\n"
        "  handlers:\n    - {name: h, ping: , listen: [a, b], notify: i}\n    - {name: i, ping: }\n"
    ),
    "two plays, one empty": "- hosts: web:!web\n  tasks: [{ping: }]\n- hosts: db\n  tasks: [{ping: }]\n",
    "this machine": "- hosts: localhost\n  tasks: [{ping: }]\n",
    "blocks": (
        "- hosts: web\n  tasks:\n    - block: [{block: [{ping: }], always: [{ping: }]}]\n"
        "      rescue: [{fail: {msg: x}}]\n      when: a\n      vars: {b: c}\n"
    ),
    "keywords": (
        "- hosts: web\n  become: true\n  become_user: app\n  strategy: free\n  max_fail_percentage: 20\n  tasks:\n"
        "    - {command: x, until: r.rc == 0, retries: 2, delay: 1, register: r, failed_when: [a, b],"
        " changed_when: false, no_log: true, timeout: 3, run_once: true, delegate_to: db1, rerun: safe}\n"
    ),
    "files and templates": (
        "- hosts: web\n  vars_files: [v.yml]\n  tasks:\n    - copy: {src: a.txt, dest: /a, mode: preserve}\n"
        '    - template: {src: "{{ which }}.j2", dest: /b}\n    - script: run.sh x\n'
    ),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_the_same_sources_are_no_difference_however_odd(project: Project, text: str) -> None:
    for name in ("v.yml", "files/a.txt", "files/run.sh", "templates/c.j2", "templates/d.j2"):
        project.write(name, "{v: 1}\n")
    allowed = {"allow_empty": True} if "!web" in text else {}
    path = project.write("site.yml", text)
    compiled = read_playbook(path, ["hosts.yml"], Options(limit=None), {}, base=project.directory, **allowed)
    old = decode(encode(compiled.plan))
    for _ in range(5):
        assert told(old, again(old)) == []
    # Where a file did change, what it says is compared, and a comment says nothing.
    if not any(word in text for word in ("random", "shuffle", "now()")):
        project.write("site.yml", f"# why\n{text}")
        assert told(old, again(old)) == []
        assert changed_files(old, again(old)) == (str(project.directory / "site.yml"),)


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.name)
def test_shipped_playbooks_read_twice(path: Path) -> None:
    old = read_playbook(path, ["inventory"], Options(), {}, base=ROOT).plan
    assert told(decode(encode(old)), again(old)) == []
    # The whole comparison, as if a file had changed.
    assert told(replace(old, sources=None), again(old)) == []
    assert replace(revised(old, again(old)), sources=None, title="") == replace(old, sources=None, title="")


def test_a_list_of_hosts_and_a_command(project: Project) -> None:
    for words in (["echo {{ x }} | wc"], ["ls", "-l", "a b"]):
        old = read_command("web1,web2", words, ["web1,web2,"], Options(), {}, base=project.directory, timeout=3).plan
        assert old.sources and old.sources.inventories == ("web1,web2,",)
        assert told(decode(encode(old)), again(old)) == []
        assert absent(old.sources) is None
        assert revised(old, again(old)) == old


# ---------------------------------------------------------------------- the playbook
CHANGES: dict[str, tuple[Callable[[str], str], list[str]]] = {
    "argument": (
        lambda text: text.replace("name: nginx", "name: httpd"),
        ["step 4 handler 'restart' (site.yml:21:7): name: nginx → httpd"],
    ),
    "free form": (
        lambda text: text.replace("uptime", "uptime -p"),
        ["step 0 'look' (site.yml:6:7): command: uptime → uptime -p"],
    ),
    "number for a truth": (
        lambda text: text.replace("msg: done", "msg: done, verbosity: 1"),
        ["step 5 'announce' (site.yml:18:7): verbosity: nothing → 1"],
    ),
    "keyword gained": (
        lambda text: text.replace("command: uptime", "command: uptime\n      when: a == 1"),
        ["step 0 'look' (site.yml:6:7): when: nothing → a == 1"],
    ),
    "keyword for all": (
        lambda text: text.replace("hosts: web\n", "hosts: web\n  become: true\n"),
        ["steps 0-5: become: nothing → true"],
    ),
    "variables are named": (
        lambda text: text.replace("s3cret", "s3cret2").replace("port: 80, ", ""),
        ["play 'site' (site.yml:1:3): vars changed: port, password"],
    ),
    "variables of steps are named": (
        lambda text: text.replace("command: uptime", "command: uptime\n      vars: {token: s3cret}"),
        ["step 0 'look' (site.yml:6:7): vars changed: token"],
    ),
    "environment is named": (
        lambda text: text.replace("command: uptime", "command: uptime\n      environment: {TOKEN: s3cret}"),
        ["step 0 'look' (site.yml:6:7): environment changed: TOKEN"],
    ),
    "hidden": (
        lambda text: text.replace("command: uptime", "command: login s3cret\n      no_log: true"),
        [
            "step 0 'look' (site.yml:6:7): command changed (hidden by no_log)",
            "step 0 'look' (site.yml:6:7): no_log changed (hidden by no_log)",
        ],
    ),
    "play": (
        lambda text: text.replace("hosts: web\n", "hosts: web:&web\n  strategy: free\n  serial: 3\n"),
        [
            "play 'site' (site.yml:1:3): hosts: web → web:&web",
            "play 'site' (site.yml:1:3): strategy: linear → free",
            "play 'site' (site.yml:1:3): batches: 1 → 2, and this run keeps its own",
        ],
    ),
    "fewer and more hosts": (
        lambda text: text.replace("hosts: web\n", "hosts: web[0:2],db1\n"),
        [
            "play 'site' (site.yml:1:3): hosts: web → web[0:2],db1",
            "db1: new in play 'site', and not part of this run",
            "web4: no longer in play 'site', and still part of this run",
        ],
    ),
    "only its name": (lambda text: text.replace("name: site", "name: sites"), []),
    "step new": (
        lambda text: text.replace("    - name: conf", "    - name: more\n      ping:\n    - name: conf"),
        ["step 'more' (site.yml:8:7) is new"],
    ),
    "step gone": (
        lambda text: text.replace("    - name: look\n      command: uptime\n", ""),
        ["step 0 'look' (site.yml:6:7) is gone"],
    ),
    "step renamed": (
        lambda text: text.replace("name: look", "name: see"),
        ["step 0 'look' (site.yml:6:7) is gone", "step 'see' (site.yml:6:7) is new"],
    ),
    "handler new": (
        lambda text: text + "    - name: reload\n      ping:\n",
        ["step handler 'reload' (site.yml:23:7) is new"],
    ),
    "section new": (
        lambda text: text + "  pre_tasks:\n    - name: first\n      ping:\n",
        ["step 'first' (site.yml:24:7) is new"],
    ),
    "play new": (
        lambda text: text + "- name: next\n  hosts: db\n  tasks: [{ping: }]\n",
        ["play 'next' (site.yml:23:3) is new"],
    ),
}
#: Changes after which the steps are no longer those that the ledger knows.
UNFIT = {"step new", "step gone", "step renamed", "handler new", "section new", "play new"}


@pytest.mark.parametrize("what", CHANGES)
def test_changes_of_the_playbook(project: Project, what: str) -> None:
    change, expected = CHANGES[what]
    old = read(project, PLAYBOOK)
    project.write("site.yml", change(PLAYBOOK))
    new = again(old)
    folder = f"{project.directory}/"
    found = [text.replace(folder, "") for text in told(old, new)]
    assert found == expected
    assert "s3cret" not in str(found)
    if what in UNFIT:
        with pytest.raises(InputError, match="does not fit") as caught:
            revised(old, new)
        assert caught.value.why and caught.value.remedy and "new run" in caught.value.remedy
        return
    fit = revised(old, new)
    assert [play.hosts for play in fit.plays] == [play.hosts for play in old.plays]
    assert [play.batches for play in fit.plays] == [play.batches for play in old.plays]
    assert fit.zones == old.zones
    assert fit.plays[0].steps[0].arguments == new.plays[0].steps[0].arguments
    # Resumed once more, nothing has changed since.
    assert told(decode(encode(fit)), again(fit)) == []


def test_handlers_are_known_by_the_places_that_the_ledger_noted(project: Project) -> None:
    old = read(project, PLAYBOOK)
    project.write("site.yml", "# moved\n\n" + PLAYBOOK.replace("nginx", "httpd"))
    fit = revised(old, again(old))
    handlers = [step for step in fit.plays[0].steps if step.handler]
    assert [step.place for step in handlers] == [step.place for step in old.plays[0].steps if step.handler]
    assert {step.arguments["name"] for step in handlers} == {"httpd"}
    assert fit.plays[0].steps[0].place == old.plays[0].steps[0].place.replace(":6:", ":8:")


def test_places_are_told_by_the_path_as_it_was_given(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("site.yml", PLAYBOOK)
    monkeypatch.chdir(project.directory)
    old = read_playbook(Path("site.yml"), ["hosts.yml"], Options(), {}, base=Path.cwd()).plan
    assert old.sources and old.sources.playbook == str(project.directory / "site.yml")
    monkeypatch.chdir("/")
    project.write("site.yml", PLAYBOOK.replace("uptime", "w"))
    fit = revised(old, again(old))
    assert fit.title == "site.yml"
    assert {step.place.split(":")[0] for step in fit.plays[0].steps} == {"site.yml"}


def test_long_values_are_told_where_they_differ(project: Project) -> None:
    line = "echo " + "x" * 200
    old = read(project, PLAYBOOK.replace("uptime", f"{line} one"))
    project.write("site.yml", PLAYBOOK.replace("uptime", f"{line} two"))
    [text] = told(old, again(old))
    assert text.endswith(f"command: …{'x' * 14} one → …{'x' * 14} two")


def test_options_and_extra_variables_are_the_runs_own(project: Project) -> None:
    old = read(project, PLAYBOOK, limit="web1", tags=("all",), become_password="s3cret")
    project.write("site.yml", PLAYBOOK.replace("uptime", "w"))
    new = again(old)
    assert new.options == old.options and new.extra_vars == {"extra": 1}
    assert [play.hosts for play in new.plays] == [("web1",)]
    fit = revised(old, replace(new, options=Options(), extra_vars={}))
    assert (fit.options, fit.extra_vars) == (old.options, old.extra_vars)


def test_a_file_of_limits_is_looked_for_where_the_run_was_started(project: Project) -> None:
    project.write("site.yml", PLAYBOOK)
    project.write("retry.txt", "web2\n")
    old = read(project, PLAYBOOK, limit=f"@{project.directory}/retry.txt")
    relative = replace(old, options=replace(old.options, limit="web*,@retry.txt"))
    assert again(relative).plays[0].hosts == ("web1", "web2", "web3", "web4")
    assert again(replace(old, options=replace(old.options, limit="@retry.txt"))).plays[0].hosts == ("web2",)


def test_sources_that_no_longer_compile(project: Project) -> None:
    old = read(project, PLAYBOOK)
    project.write("site.yml", PLAYBOOK.replace("command:", "comand:"))
    with pytest.raises(InputError, match="comand"):
        again(old)
    (project.directory / "site.yml").unlink()
    assert old.sources and absent(old.sources) == str(project.directory / "site.yml")


# ---------------------------------------------------------------------- inventory and files
def test_changes_of_the_inventory(project: Project) -> None:
    old = read(project, PLAYBOOK)
    text = HOSTS.replace('{"web[1:4]": }', '{"web[1:5]": , web2: {password: s3cret}}').replace('"db[1:2]"', "db1")
    project.write("hosts.yml", text + "    canary: {hosts: {web1: , web2: , db7: }}\n")
    project.write("group_vars/web.yml", "secret: s3cret\n")
    new = again(old)
    found = told(old, new)
    assert found == [
        "web5: new in play 'site', and not part of this run",
        "db2: gone from the inventory",
        "db7: new in the inventory",
        "web1,web2: groups changed: +canary",
        "web1,web3,web4: variables changed: secret",
        "web2: variables changed: password, secret",
    ]
    assert changed_files(old, new) == (
        str(project.directory / "group_vars/web.yml"),
        str(project.directory / "hosts.yml"),
    )
    fit = revised(old, new)
    assert fit.plays[0].hosts == old.plays[0].hosts
    assert fit.inventory == new.inventory


def test_only_the_order_of_hosts(project: Project) -> None:
    old = read(project, PLAYBOOK)
    project.write("hosts.yml", HOSTS.replace('{"web[1:4]": }', "{web2: , web1: , web3: , web4: }"))
    assert told(old, again(old)) == ["the order of the hosts in the inventory changed"]


def test_a_host_of_the_run_that_is_gone(project: Project) -> None:
    old = read(project, PLAYBOOK)
    project.write("hosts.yml", HOSTS.replace("web[1:4]", "web[2:3]"))
    new = again(old)
    assert told(old, new) == ["web1,web4: gone from the inventory"]
    with pytest.raises(InputError, match="gone from the inventory: web1, web4") as caught:
        revised(old, new)
    assert caught.value.remedy and "--stored" in caught.value.remedy


def test_zones_follow_the_inventory(project: Project) -> None:
    old = read(project, PLAYBOOK)
    assert old.zones == {"default": ("web1", "web2", "web3", "web4")}
    project.write("site.yml", PLAYBOOK.replace("hosts: web", "hosts: web:!web4"))
    project.write("host_vars/web2.yml", "opsrunner_zone: north\n")
    assert revised(old, again(old)).zones == {"default": ("web1", "web3", "web4"), "north": ("web2",)}


FILES = """\
- hosts: web
  vars_files: [v.yml]
  tasks:
    - copy: {src: a.txt, dest: /a}
    - copy: {src: "{{ inventory_hostname }}.txt", dest: /b}
"""


def test_files_that_travel_along(project: Project) -> None:
    for name in ("files/a.txt", "files/web1.txt", "files/web2.txt"):
        project.write(name, name)
    project.write("v.yml", "{a: s3cret, b: 1}")
    old = read(project, FILES)
    project.write("files/a.txt", "other")
    project.write("files/web3.txt", "more")
    (project.directory / "files/web2.txt").unlink()
    (project.directory / "files/web1.txt").chmod(0o600)
    assert told(old, again(old)) == ["files/a.txt changed", "files/web2.txt is gone", "files/web3.txt is new"]
    project.write("v.yml", "{a: s3cret2, b: 1}")
    assert told(old, again(old))[0].endswith("vars_files changed: a")
    fit, files = revised(old, read_again(old).plan), read_again(old).files
    assert set(fit.files.values()) <= set(files)


def test_permissions_count_where_they_are_kept(project: Project) -> None:
    path = project.write("files/a.txt", "a")
    path.chmod(0o644)
    old = read(project, FILES.replace("dest: /a", "dest: /a, mode: preserve").replace("  vars_files: [v.yml]\n", ""))
    path.chmod(0o755)
    found = told(old, again(old))
    assert "files/a.txt: mode 0644 → 0755" in found


def test_a_file_that_is_looked_up_while_compiling(project: Project) -> None:
    project.write("files/hosts.txt", "web1")
    old = read(project, "- hosts: \"{{ lookup('file', 'hosts.txt') }}\"\n  tasks: [{ping: }]\n")
    assert old.plays[0].hosts == ("web1",)
    project.write("files/hosts.txt", "web2")
    assert "web2: new in play 'web1', and not part of this run" in told(old, again(old))

"""Secrets made by ansible-vault, from files to hosts: they arrive, and are found nowhere on the way."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.integration.ssh.conftest import People
from tests.integration.stack import Stack, statuses, wait_until

INLINE, IN_FILE, IN_VARS, ON_COMMAND_LINE = (f"hunter2 {{{{ {place} }}}}" for place in ("inline", "file", "vars", "e"))

PLAYBOOK = """\
- hosts: all
  gather_facts: false
  vars_files: [secrets.yml]
  tasks:
    - name: who
      command: id -un
      become: true
      become_user: {other}
    - name: sums
      shell: "until [ -e {directory}/watched ]; do sleep 0.05; done; sha256sum"
      args: {{stdin: "{{{{ item }}}}", stdin_add_newline: false}}
      loop: ["{{{{ inline }}}}", "{{{{ in_vars }}}}", "{{{{ on_command_line }}}}"]
      no_log: true
      register: sums
    - name: told
      debug: msg="{{{{ sums.results | map(attribute='stdout') | map('split') | map('first') | list }}}}"
    - name: copied
      copy: {{src: key, dest: "{directory}/copied", mode: "0644"}}
"""


def results(document: dict[str, Any], task: str) -> dict[str, Any]:
    (found,) = (one["hosts"] for play in document["plays"] for one in play["tasks"] if one["name"] == task)
    return dict(found)


class Vaulted:
    """A project whose secrets ansible-vault encrypted, a broker, and a worker that has no vault password."""

    def __init__(self, folder: Path, fleet: Fleet, people: People) -> None:
        self.stack = Stack(folder)
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / "ansible.cfg").touch()
        (folder / "password").write_text("#!/bin/sh\necho 'the vault password'\n")
        (folder / "password").chmod(0o700)
        self.password = people.password
        host = {
            "ansible_host": "127.1.0.1",
            "ansible_port": fleet.port,
            "ansible_user": people.login,
            "opsrunner_known_hosts": str(fleet.known_hosts),
        }
        self.stack.inventory(json.dumps({"all": {"hosts": {"web1": host}}}))
        variables = folder / "inventory" / "group_vars" / "all"
        variables.mkdir(parents=True)
        become = self.inline("ansible_become_password", people.password)
        (variables / "plain.yml").write_text(f"{become}\n{self.inline('inline', INLINE)}\n")
        self.whole(variables / "vault.yml", f"ansible_password: {json.dumps(people.password)}\n")
        self.whole(folder / "secrets.yml", f"in_vars: !unsafe {json.dumps(IN_VARS)}\n")
        self.whole(folder / "extra.yml", self.inline("on_command_line", ON_COMMAND_LINE))
        (folder / "files").mkdir()
        self.whole(folder / "files" / "key", IN_FILE)
        (folder / "out").mkdir(mode=0o777)
        (folder / "out").chmod(0o777)
        (folder / "play.yml").write_text(PLAYBOOK.format(other=people.other, directory=folder / "out"))
        self.stack.worker("one")

    def vault(self, *words: str, text: str = "") -> str:
        program = Path(sys.executable).parent / "ansible-vault"
        environment = {**os.environ, "ANSIBLE_CONFIG": str(self.home / "ansible.cfg"), "HOME": str(self.home)}
        command = [str(program), *words, "--vault-id", f"prod@{self.folder / 'password'}"]
        return subprocess.run(
            command, input=text, env=environment, cwd=self.home, check=True, capture_output=True, text=True
        ).stdout

    def inline(self, name: str, text: str) -> str:
        return self.vault("encrypt_string", "--stdin-name", name, text=text)

    def whole(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.vault("encrypt", str(path))

    def arrived(self) -> None:
        assert (self.folder / "out" / "copied").read_text() == IN_FILE

    def scan(self) -> None:
        """No secret lies in Redis or in any file but those that the hosts were to be given."""
        secrets = [self.password.encode(), b"hunter2", b"the vault password"]
        assert self.stack.redis
        kept = [self.stack.redis.client.dump(key) or b"" for key in self.stack.redis.client.scan_iter("*")]
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in ("password", "copied"):
                kept.append(path.read_bytes())
        assert not [secret for secret in secrets for data in kept if secret in data]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, people: People) -> Iterator[Vaulted]:
    options = {"PasswordAuthentication": "yes", "AuthorizedKeysFile": "none"}
    fleet = Fleet.start(tmp_path_factory.mktemp("fleet"), options=options)
    # Not below pytest's own directory, which every other run of pytest closes to the users that the hosts run as.
    with tempfile.TemporaryDirectory(prefix="opsrunner-vaulted-") as folder:
        Path(folder).chmod(0o711)
        made = Vaulted(Path(folder), fleet, people)
        yield made
        made.stack.close()
    fleet.stop()


class Watch:
    """Looks at the command lines of all processes for as long as it stands; makes ``found`` once one has ``word``."""

    def __init__(self, word: bytes, found: Path) -> None:
        self._word = word
        self._found = found
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    pass
            if any(self._word in command for command in self.seen):
                self._found.touch()


def sums(*texts: str) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def test_secrets_reach_the_host_and_nobody_else(project: Vaulted, people: People) -> None:
    words = ("-e", "@extra.yml", "--vault-id", "prod@password")
    with Watch(b"sha256sum", project.folder / "out" / "watched") as watch:
        done = project.stack.opsrunner("run", "play.yml", "--output", "json", *words)
    document = json.loads(done.stdout)
    assert results(document, "who")["web1"]["stdout"] == people.other
    assert results(document, "told")["web1"]["msg"] == sums(INLINE, IN_VARS, ON_COMMAND_LINE)
    project.arrived()
    planned = project.stack.opsrunner("plan", "play.yml", *words).stdout
    shown = project.stack.opsrunner("show", "last", "-v").stdout
    told = f"{done.stdout}{done.stderr}{planned}{shown}".encode() + b"\n".join(watch.seen)
    assert any(b"sha256sum" in command for command in watch.seen)
    for secret in (b"hunter2", people.password.encode(), b"the vault password"):
        assert secret not in told
    project.scan()


def test_without_the_password_nothing_is_sent(project: Vaulted) -> None:
    done = project.stack.opsrunner("run", "play.yml", "-e", "@secrets.yml", code=65)
    assert "secrets.yml is encrypted with Ansible Vault" in done.stderr
    done = project.stack.opsrunner("exec", "all", "--", "true", code=65)
    assert "inventory/group_vars/all/vault.yml:1:1: " in done.stderr
    assert "--vault-password-file" in done.stderr


@contextmanager
def given_the_setting(stack: Stack) -> Iterator[None]:
    stack.environment["OPSRUNNER_VAULT_PASSWORD_FILE"] = "password"
    try:
        yield
    finally:
        del stack.environment["OPSRUNNER_VAULT_PASSWORD_FILE"]


def runs_of(stack: Stack, schedule: str) -> list[str]:
    return [
        run["run"] for run in json.loads(stack.opsrunner("runs", "--schedule", schedule, "--output", "json").stdout)
    ]


def test_schedules_and_resume_take_the_setting(project: Vaulted) -> None:
    stack = project.stack
    gate = project.folder / "out" / "gate"
    tasks = f"[{{name: gate, command: test -e {gate}}}, {{name: sum, shell: 'printf \"$X\" | wc -c'}}]"
    (project.folder / "nightly.yml").write_text(
        f"- hosts: all\n  gather_facts: false\n  environment: {{X: '{{{{ inline }}}}'}}\n  tasks: {tasks}\n"
    )
    (project.folder / "schedules.yml").write_text("- {name: nightly, every: 2s, count: 1, playbook: nightly.yml}\n")
    assert "cannot be opened" in stack.opsrunner("schedule", "run", "nightly", code=65).stderr
    with given_the_setting(stack):
        beat = stack.popen("beat")
        try:
            wait_until(lambda: runs_of(stack, "nightly"), 60, "the beat started a run")
        finally:
            beat.terminate()
            beat.communicate(timeout=60)
    (run_id,) = runs_of(stack, "nightly")
    assert set(statuses(stack.ending(run_id, code=2), "gate").values()) == {"failed"}
    gate.touch()
    # What is compared is read again; what is stored needs no password.
    done = stack.opsrunner("resume", run_id, code=65)
    assert "--stored goes on without them" in done.stderr
    assert "cannot be opened" in done.stderr
    done = stack.opsrunner("resume", run_id, "--vault-password-file", "password", "--output", "json")
    assert results(json.loads(done.stdout), "sum")["web1"]["stdout"] == str(len(INLINE))
    gate.unlink()
    with given_the_setting(stack):
        stack.opsrunner("schedule", "run", "nightly", code=2)
    gate.touch()
    stack.opsrunner("resume", "last", "--stored")
    project.scan()

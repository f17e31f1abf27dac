"""user and group: the real useradd and its kin, on account files of their own."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from tests.unit.modules.programs import Programs

HASH = "$6$abcdefgh$" + "x" * 86
OTHER = "$6$abcdefgh$" + "y" * 86

GETENT = r"""
file=$STATE/etc/$1
[ $# -gt 1 ] || exec cat "$file"
grep "^$2:" "$file" || exit 2
"""
# These two know no --prefix everywhere.
CHPASSWD = r"""
IFS=: read -r name hash
sed -i "s|^$name:[^:]*:|$name:$hash:|" "$STATE/etc/shadow"
"""
CHAGE = r"""
while [ $# -gt 2 ]; do
    case $1 in -m) field=4 ;; -M) field=5 ;; -W) field=6 ;; *) break ;; esac
    awk -F: -v OFS=: -v n=$field -v v="$2" '{ $n = v; print }' "$STATE/etc/shadow" >"$STATE/new"
    mv "$STATE/new" "$STATE/etc/shadow"
    shift 2
done
"""
CHANGING = ("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "chpasswd", "chage")


class Accounts(Programs):
    """passwd, group and shadow of a scratch root."""

    def prepare(self) -> None:
        etc = self.state / "etc"
        etc.mkdir()
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\nweb:x:200:\nops:x:201:\n")
        (etc / "shadow").write_text("root:*:19000:0:99999:7:::\n")
        (etc / "gshadow").write_text("root:*::\nweb:!::\nops:!::\n")
        (etc / "login.defs").write_text("UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n")
        for name in CHANGING[:6]:
            real = shutil.which(name, path=f"/usr/sbin:/sbin:{os.environ['PATH']}")
            assert real, f"{name} is needed"
            self.add(name, f'exec {real} -P "$STATE" "$@"')
        self.add("getent", GETENT)
        self.add("chpasswd", CHPASSWD)
        self.add("chage", CHAGE)

    def user(self, **arguments: Any) -> dict[str, Any]:
        options = {key: arguments.pop(key) for key in ("check",) if key in arguments}
        return self.run("user", {"name": "app", "home": str(self.host.home / "app"), **arguments}, **options)

    def group(self, **arguments: Any) -> dict[str, Any]:
        options = {key: arguments.pop(key) for key in ("check",) if key in arguments}
        return self.run("group", arguments, **options)

    def line(self, database: str, name: str) -> list[str]:
        lines = (self.state / "etc" / database).read_text().splitlines()
        return next((line.split(":") for line in lines if line.startswith(f"{name}:")), [])


@pytest.fixture
def accounts(programs: Programs) -> Accounts:
    programs.__class__ = Accounts
    assert isinstance(programs, Accounts)
    programs.prepare()
    return programs


def test_group(accounts: Accounts) -> None:
    assert accounts.group(name="app", gid=1500, check=True) == {"changed": True}
    made = accounts.group(name="app", gid=1500)
    assert made == {"name": "app", "state": "present", "changed": True, "system": False, "gid": 1500}
    assert accounts.group(name="app", gid="1500")["changed"] is False
    assert accounts.group(name="app")["changed"] is False
    assert accounts.group(name="app", gid=1501)["gid"] == 1501
    taken = accounts.group(name="other", gid=200)
    assert (taken["failed"], "200" in taken["msg"]) == (True, True)
    assert accounts.group(name="other", gid=200, non_unique=True)["changed"] is True
    assert accounts.group(name="app", state="absent", check=True) == {"changed": True}
    assert accounts.group(name="app", state="absent")["changed"] is True
    assert accounts.group(name="app", state="absent") == {"name": "app", "state": "absent", "changed": False}
    assert accounts.line("group", "app") == []
    assert "non_unique=True" in accounts.group(name="x", non_unique=True)["msg"]


def test_a_user_comes_and_goes(accounts: Accounts) -> None:
    about = {"uid": 1500, "groups": "web,ops", "comment": "The app", "shell": "/bin/sh", "create_home": False}
    assert accounts.user(**about, check=True) == {"changed": True}
    made = accounts.user(**about)
    assert made["changed"] is True, made
    assert (made["uid"], made["comment"], made["shell"], made["groups"]) == (1500, "The app", "/bin/sh", "web,ops")
    assert accounts.line("group", "web")[3] == "app"
    again = accounts.user(**about)
    assert (again["changed"], again["append"], again["uid"]) == (False, False, 1500)
    assert accounts.user(user="app", state="absent", check=True) == {"changed": True}
    gone = accounts.user(name="app", state="absent", force=False)
    assert (gone["changed"], gone["remove"], accounts.line("passwd", "app")) == (True, False, [])
    assert accounts.user(name="app", state="absent") == {"name": "app", "state": "absent", "changed": False}


def test_a_user_is_changed(accounts: Accounts) -> None:
    accounts.user(create_home=False, groups=["web"])
    accounts.done()
    assert accounts.user(create_home=False, groups="ops", append=True)["changed"] is True
    assert accounts.done(*CHANGING) == ["usermod -a -G ops -- app"]
    assert accounts.user(create_home=False, groups=["ops"], append=True)["changed"] is False
    assert accounts.user(create_home=False, groups=["ops"], check=True)["changed"] is True
    assert accounts.done(*CHANGING) == []
    assert accounts.user(create_home=False, groups=["ops"], shell="/bin/bash", comment="new")["shell"] == "/bin/bash"
    assert (accounts.line("group", "web")[3], accounts.line("group", "ops")[3]) == ("", "app")
    assert accounts.user(create_home=False, groups=[])["changed"] is True
    assert accounts.user(create_home=False, groups="")["changed"] is False
    assert accounts.user(create_home=False, group="root")["group"] == 0
    assert accounts.user(create_home=False, expires=1893456000)["changed"] is True
    assert accounts.user(create_home=False, expires=1893456000.0)["changed"] is False
    assert accounts.line("shadow", "app")[7] == "21915"
    assert accounts.user(create_home=False, expires=-1)["changed"] is True
    assert accounts.user(create_home=False, expires=-1)["changed"] is False
    assert accounts.user(create_home=False, groups="none-such")["msg"] == "Group none-such does not exist"


def test_passwords_are_seen_by_nobody(accounts: Accounts) -> None:
    made = accounts.user(create_home=False, password=HASH)
    assert (made["changed"], made["password"]) == (True, "NOT_LOGGING_PASSWORD")
    assert accounts.line("shadow", "app")[1] == HASH
    assert accounts.user(create_home=False, password=HASH)["changed"] is False
    assert accounts.user(create_home=False, password=OTHER, update_password="on_create")["changed"] is False
    assert accounts.user(create_home=False, password=OTHER, check=True)["changed"] is True
    assert accounts.line("shadow", "app")[1] == HASH
    assert accounts.user(create_home=False, password=OTHER)["changed"] is True
    assert accounts.line("shadow", "app")[1] == OTHER
    assert accounts.user(create_home=False, password_lock=True)["changed"] is True
    assert accounts.line("shadow", "app")[1] == "!" + OTHER
    assert accounts.user(create_home=False, password_lock=True, password=OTHER)["changed"] is False
    assert not any(secret in line for line in accounts.done() for secret in (HASH, OTHER))
    assert not any(HASH in command.line or OTHER in command.line for command in accounts.host.remote.commands)
    assert "hashed" in accounts.user(create_home=False, password="secret")["warnings"][0]
    aged = {"password_expire_max": 90, "password_expire_warn": 10}
    assert accounts.user(create_home=False, **aged)["changed"] is True
    assert accounts.user(create_home=False, **aged)["changed"] is False
    assert accounts.line("shadow", "app")[4:6] == ["90", "10"]


def test_home_and_key(accounts: Accounts) -> None:
    home = accounts.host.home / "app"
    accounts.user(create_home=False, uid=os.getuid(), non_unique=True, group="root")
    assert accounts.user(check=True)["changed"] is True
    assert not home.exists()
    assert accounts.user(umask="027")["changed"] is True
    assert home.stat().st_mode & 0o777 == 0o750
    assert accounts.user()["changed"] is False
    if not shutil.which("ssh-keygen"):
        pytest.fail("ssh-keygen is needed")
    key = {"generate_ssh_key": True, "ssh_key_type": "ed25519", "ssh_key_comment": "app@here"}
    assert accounts.user(**key, check=True)["changed"] is True
    made = accounts.user(**key)
    assert (made["changed"], made["ssh_key_file"]) == (True, str(home / ".ssh/id_ed25519"))
    assert made["ssh_public_key"].endswith(" app@here")
    assert "SHA256:" in made["ssh_fingerprint"]
    kept = accounts.user(**key)
    assert (kept["changed"], kept["ssh_public_key"]) == (False, made["ssh_public_key"])
    assert "no force" in kept["warnings"][0]

"""A command cannot tell which way it came: over a channel of its own, or by its turn at the shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from opsrunner.remote import Command, Remote
from opsrunner.ssh.pool import Pool
from tests.fleet import Fleet
from tests.integration.ssh.conftest import MakeTarget
from tests.integration.ssh.test_ssh_shell import BASH, SH, soon_by_shell

#: Process numbers and the like are left out by the lines themselves.
LINES = {
    # What a command finds.
    "environment": "env | sort | grep -v ^SSH_; tr '\\0' '\\n' </proc/$$/environ | sort | grep -v ^SSH_",
    "arguments": 'readlink /proc/$$/exe; echo "$0" $# "$-" "$*"',
    "descriptors": "cd /proc/$$; for f in fd/*; do echo $f; done; readlink fd/0; grep flags fdinfo/[012]",
    "kinds": "for n in 1 2; do readlink /proc/$$/fd/$n | sed 's/[0-9]//g'; done",
    "group": "read -r s </proc/$$/stat; set -- ${s##*) }; [ $3 = $$ ] && echo $5 $6; echo ${16} ${17}",
    "terminal": "tty; (: </dev/tty) 2>&1 | sed 's/.*://'",
    "umask": "umask",
    "limits": "cat /proc/self/limits",
    "process": "grep -E 'Cpus_a|Mems_a|Sig(Blk|Ign)|Groups|Cap|Secc|NoNew|Umask' /proc/self/status",
    "kernel": "cd /proc/$$; cat oom_score_adj loginuid sessionid cgroup personality timerslack_ns; readlink ns/*",
    "priority": "nice; cut -d' ' -f18,19,40,41 </proc/self/stat",
    "directory": 'pwd; pwd -P; echo "$PWD" "$OLDPWD"; readlink /proc/$$/cwd /proc/$$/root',
    "shell": 'echo $SHLVL "$PS1" "$PS4" $OPTIND; printf %s "$IFS" | od -c; trap; alias; set | grep -c opsrunner_',
    "depth": "sh -c 'echo $SHLVL'; bash -c 'echo $SHLVL $BASH_SUBSHELL'",
    "children": "set -- $(cat /proc/$$/task/$$/children); echo $#",
    "locale": "locale",
    # What becomes of it.
    "exit": "exit 77",
    "set -e": "set -e; false; echo not reached",
    "set -u": "set -u; echo $nope; echo not reached",
    "last trap": "trap 'echo bye' EXIT; exit 4",
    "exec": "exec sh -c 'exit 5'",
    "syntax": "if then",
    "open quote": "echo 'abc",
    "open document": "cat <<X\nline",
    "document": "cat <<X\nline $((1+1))\nX",
    "backslash": "echo a\\",
    "braces": "echo }; echo )",
    "comment": "#",
    "nothing": "\n\n",
    "no such command": "/no/such/command",
    "no end of line": "printf out; printf err >&2",
    "bytes": "printf 'a\\0b\\r\\377\\n'; printf '\\0' >&2",
    "both streams": "for i in 1 2 3 4 5 6; do echo $i; echo $i >&2; done",
    "megabytes": "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2",
    "long line": "head -c 500000 /dev/zero | tr '\\0' a",
    "input": "cat; read -r x; echo $?",
    "closed output": "exec 1>&-; echo x; echo err >&2",
    "closed errors": "exec 2>&-; echo out; no-such-command",
    "all closed": "exec <&- >&- 2>&-; echo nobody",
    "more descriptors": 'for n in 3 4 5 9; do (eval "echo x >&$n"); done 2>&1 | wc -l',
    # Signals to itself, its group and who is around it.
    "killed": "kill -KILL $$",
    "segment": "kill -SEGV $$",
    "pipe": "yes | head -n 1; kill -PIPE $$",
    "own group": "trap 'echo term' TERM; kill -TERM 0; echo after",
    "group by number": "sleep 60 >/dev/null 2>&1 & kill -TERM -- -$$; echo not reached",
    "stop": "kill -TSTP $$; kill -TTIN 0; kill -TTOU $$; echo after",
    "continued": "(sleep 0.2; kill -CONT $$) & kill -STOP $$; echo after; wait",
    "jobs": "set -m; jobs; wait; echo $?",
    "another session": "setsid -w sh -c 'exit 3'; echo $?",
    "limited time": "timeout 0.1 sleep 5; echo $?",
    "somebody else": "su -s /bin/sh nobody -c 'id -un'; sudo -n id -un",
    # What must not be there for the next.
    "changes": "cd /; umask 0; ulimit -n 30; export LEFT=over; trap '' TERM; set -C; alias ls=false; readonly PS4=x",
    "changes of the shell": "IFS=x; PATH=/; opsrunner_status=9; cd() { :; }; exec 3>/dev/null",
    "still the same": "env | sort | grep -v ^SSH_; umask; ulimit -n; pwd; trap; alias; ls -d /; set | grep -c LEFT",
}


def told(remote: Remote) -> dict[str, tuple[int, bytes, bytes]]:
    """Status and both outputs of every line, one after the other."""
    ends = {name: remote.exec(Command(line, timeout=60)) for name, line in LINES.items()}
    return {name: (end.rc, end.stdout, end.stderr) for name, end in ends.items()}


@pytest.fixture(scope="module")
def bashless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Hosts whose login shell, asked for our shell, finds no bash."""
    folder = tmp_path_factory.mktemp("bashless")
    (folder / "login").write_text(
        'line=$SSH_ORIGINAL_COMMAND; unset SSH_ORIGINAL_COMMAND; exec sh -c "${line#test -x /bin/bash*; }"\n'
    )
    running = Fleet.start(folder / "sshd", options={"ForceCommand": f"/bin/sh {folder}/login"})
    yield running
    running.stop()


@pytest.mark.parametrize("kind", [BASH, SH], ids=["bash", "sh"])
def test_both_ways_give_the_same(pool: Pool, target: MakeTarget, bashless: Fleet, kind: bytes) -> None:
    where: dict[str, Any] = {}
    if kind is SH:
        known = (str(bashless.known_hosts),)
        where = {"port": bashless.port, "private_key_file": str(bashless.key), "known_hosts_files": known}
    channel, shell = (told(pool.remote(target(shell=way, **where))) for way in (False, True))
    assert [(name, channel[name], shell[name]) for name in LINES if channel[name] != shell[name]] == []
    assert soon_by_shell(pool.remote(target(shell=True, **where)), kind)
    assert pool.count().connects == 1

"""The transport and what it inherits."""

from __future__ import annotations

import threading

from opsrunner.ssh.transport import CommandTransport

#: What a Thread has of its own from Python 3.13 and 3.14 on, whichever runs this.
NEWER = {"_handle", "_context", "_set_os_name"}


def test_no_name_of_a_thread_is_taken() -> None:
    # paramiko's Transport is a Thread, whose private names differ from one Python to the next.
    named = {*vars(CommandTransport), *CommandTransport.__init__.__code__.co_names}
    own = {name for name in named if not name.startswith("__")}
    assert {"_dispatch", "_hurried"} <= own
    assert not own & (NEWER | set(dir(threading.Thread())))

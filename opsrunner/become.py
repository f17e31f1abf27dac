"""The command line of sudo, su and doas, as text; nothing is run here.

Who follows it (:mod:`opsrunner.dialogue`) sends the password only once the prompt has been seen:
sent blindly to a sudo that needs none, it would land in the command's own stdin.
"""

from __future__ import annotations

import re
import shlex

from opsrunner.remote import Become

#: What Ansible gives sudo when ``become_flags`` is not set.
SUDO_FLAGS = "-H -S -n"


def become_line(script: str, become: Become, *, prompt: str, argument: str | None = None) -> str:
    """The line that runs ``script`` (POSIX sh text) as ``become.user``; ``argument`` is its ``$1``.

    ``prompt`` is what sudo is told to ask for the password with. ``become.flags`` take the place of
    the method's default flags, as in Ansible; with a password sudo's ``-n`` is left out.
    """
    shell = shell_line(script, argument)
    user = shlex.quote(become.user)
    if become.method == "sudo":
        return f"sudo {_sudo_flags(become, prompt)} -u {user} -- {shell}"
    flags = f"{become.flags.strip()} " if become.flags and become.flags.strip() else ""
    if become.method == "su":
        return f"su {flags}{user} -c {shlex.quote(f'exec {shell}')}"
    # doas reads a password from a terminal only, and there is none: -n makes it say so at once.
    return f"doas {flags}-n -u {user} {shell}"


def shell_line(script: str, argument: str | None = None) -> str:
    """The line that runs ``script`` by ``/bin/sh``; ``argument`` is its ``$1``."""
    line = f"/bin/sh -c {shlex.quote(script)}"
    return line if argument is None else f"{line} sh {shlex.quote(argument)}"


def _sudo_flags(become: Become, prompt: str) -> str:
    flags = shlex.split(SUDO_FLAGS if become.flags is None else become.flags)
    if become.password is None:
        # The prompt all the same: flags without -n would have sudo ask, and it must be noticed.
        return shlex.join([*flags, "-p", prompt])
    flags = [kept for flag in flags if (kept := _without_non_interactive(flag))]
    if not any(re.fullmatch(r"-[A-Za-z]*S[A-Za-z]*|--stdin", flag) for flag in flags):
        flags.append("-S")
    # -k: a password remembered from before would hide that this one is wrong.
    return shlex.join([*flags, "-k", "-p", prompt])


def _without_non_interactive(flag: str) -> str:
    """The flag without -n, also where it is one letter of a cluster such as -Hn; "" if nothing is left."""
    if flag == "--non-interactive":
        return ""
    if re.fullmatch(r"-[AbEeHiKklnPSsVv]+", flag):
        flag = flag.replace("n", "")
    return "" if flag == "-" else flag

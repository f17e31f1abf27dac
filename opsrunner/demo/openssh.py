"""OpenSSH's sshd as the demo's hosts: one process, the current user, a configuration of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

#: Where sshd lies; seldom on an ordinary user's PATH.
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin", "/usr/lib/ssh")


def find() -> str | None:
    """Absolute path of sshd (it re-executes itself, so a relative one will not do), None without one."""
    return shutil.which("sshd", path=os.pathsep.join((*FOLDERS, os.environ.get("PATH", ""))))


def command(sshd: str, folder: Path, port: int, addresses: list[str]) -> list[str]:
    """Write the configuration and give the words that start sshd in the foreground."""
    if os.geteuid() == 0:
        # Debian makes it when the service starts; a container that never started it lacks it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    config = folder / "sshd_config"
    lines = _lines(folder, port, addresses)
    config.write_text("\n".join([*lines, "PerSourcePenalties no", ""]))
    tried = subprocess.run([sshd, "-t", "-f", str(config)], capture_output=True, check=False)
    if tried.returncode != 0:  # older than 9.8: no such word, and no such penalties
        config.write_text("\n".join([*lines, ""]))
    return [sshd, "-D", "-e", "-f", str(config)]


def _lines(folder: Path, port: int, addresses: list[str]) -> list[str]:
    path = f"{folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [
        f"Port {port}",
        *(f"ListenAddress {address}" for address in addresses),  # loopback only: the network must not log in
        f'HostKey "{folder}/host_ed25519"',
        "PidFile none",
        f'AuthorizedKeysFile "{folder}/authorized_keys"',
        "StrictModes no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "UseDNS no",
        "MaxStartups 200:100:400",
        "MaxSessions 100",
        "PrintMotd no",
        "PrintLastLog no",
        "X11Forwarding no",
        "AllowAgentForwarding no",
        "AllowTcpForwarding no",
        "LogLevel ERROR",
        # One line: sshd takes the first SetEnv alone. An empty HOME keeps the developer's own .bashrc out.
        f'SetEnv "HOME={folder}/home" "PATH={path}"',
    ]

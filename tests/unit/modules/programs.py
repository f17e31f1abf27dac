"""A folder of programs that the host finds first, played by scripts; what they were told is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.unit.modules.shell_host import Host


class Programs:
    """``state`` is where the scripts, who know it as $STATE, keep what they play."""

    def __init__(self, host: Host, root: Path) -> None:
        self.host = host
        self.state = root / "state"
        self.folder = root / "programs"
        for folder in (self.state, self.folder):
            folder.mkdir()

    def add(self, name: str, text: str) -> None:
        """A program; each call is a line of the log: its name and its words."""
        path = self.folder / name
        log = f'printf \'%s\\n\' "{name} $*" >>"$STATE/log"\n'
        path.write_text(f"#!/bin/sh\nSTATE={self.state}\n{log}{text}\n")
        path.chmod(0o755)

    def run(self, module: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        return self.host.run(module, arguments, environment=environment, **options)

    def done(self, *names: str) -> list[str]:
        """The calls since it was last asked; with names only those programs'."""
        log = self.state / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if not names or line.split()[0] in names]

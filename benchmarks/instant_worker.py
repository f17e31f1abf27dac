"""A worker whose hosts answer at once: what it uses is the control plane's. Started by bench_control_plane.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opsrunner.cli.main import main
from opsrunner.remote import Command, Completed, FakeRemote
from opsrunner.ssh.pool import Pool
from opsrunner.ssh.target import Target


class InstantRemote(FakeRemote):
    """Remembers nothing: a million commands would."""

    def exec(self, command: Command, **options: object) -> Completed:
        done = super().exec(command)
        self.commands.clear()
        return done


def instant(pool: Pool, target: Target, *, following: int = 0) -> InstantRemote:
    return InstantRemote(target.host, lambda command: (0, b"ok\n", b""))


if __name__ == "__main__":
    Pool.remote = instant  # type: ignore[method-assign,assignment]
    main()

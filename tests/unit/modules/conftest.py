"""The host that module tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.modules.programs import Programs
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host


@pytest.fixture(params=SHELLS, ids=lambda shell: Path(shell[0]).name)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """The same host under every POSIX shell that this machine has."""
    home = tmp_path / "home"
    home.mkdir()
    return Host(request.param, home, FolderFiles(tmp_path / "playbook"))


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """A host whose programs are played by scripts, under this machine's own shell."""
    home = tmp_path / "home"
    home.mkdir()
    return Programs(Host(SHELLS[0], home, FolderFiles(tmp_path / "playbook")), tmp_path)

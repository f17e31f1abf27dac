"""ansible-core is configured when it is first imported, and its plugin loader set up once a process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def ansible_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ansible with an empty configuration and a home of its own, for every test of this process."""
    home = tmp_path_factory.mktemp("ansible_home")
    (home / "ansible.cfg").touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
            patch.delenv(name)
        patch.setenv("ANSIBLE_CONFIG", str(home / "ansible.cfg"))
        patch.setenv("ANSIBLE_HOME", str(home))
        patch.setenv("ANSIBLE_LOCAL_TEMP", str(home / "tmp"))
        patch.setenv("ANSIBLE_DEPRECATION_WARNINGS", "false")
        from ansible.plugins.loader import init_plugin_loader

        # A second call warns, and warnings are errors.
        init_plugin_loader([])
        yield

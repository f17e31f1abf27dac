"""opsrunner: commands to many hosts, at most once each, every host accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsrunner.version import VERSION

if TYPE_CHECKING:
    from opsrunner.runner import Run as Run
    from opsrunner.runner import Runner as Runner
    from opsrunner.runner import RunResult as RunResult
    from opsrunner.runner import run_playbook as run_playbook

__version__ = VERSION

_RUNNER = ("Run", "RunResult", "Runner", "run_playbook")


def __getattr__(name: str) -> Any:
    """The Python interface, and ``opsrunner.app`` for ``celery -A opsrunner``: imported only when asked for."""
    if name in ("app", "celery"):
        from opsrunner.engine.app import app

        return app
    if name in _RUNNER:
        from opsrunner import runner

        return getattr(runner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_RUNNER])

"""opsrunner: commands to many hosts, at most once each, every host accounted for."""

from __future__ import annotations

from typing import Any

from opsrunner.version import VERSION

__version__ = VERSION


def __getattr__(name: str) -> Any:
    """``opsrunner.app`` for ``celery -A opsrunner``, imported only when somebody asks for it."""
    if name in ("app", "celery"):
        from opsrunner.engine.app import app

        return app
    raise AttributeError(name)

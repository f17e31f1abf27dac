"""One of ansible-core's own modules, run in this process as on a host: what it answers to some arguments."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Wrapped around every answer; warnings are those of every module that this process has run.
_ALWAYS = ("invocation", "exception", "warnings", "deprecations")


def answer(
    module: str, arguments: Mapping[str, Any], scratch: Path, *, check: bool = False, diff: bool = False
) -> dict[str, Any]:
    """The result of ``ansible.builtin.MODULE``; paths are relative to the current directory."""
    from ansible.module_utils.testing import patch_module_args

    loaded = importlib.import_module(f"ansible.modules.{module}")
    internal = {"_ansible_tmpdir": str(scratch), "_ansible_check_mode": check, "_ansible_diff": diff}
    said = io.StringIO()
    with (
        patch_module_args({**arguments, **internal}),
        contextlib.redirect_stdout(said),
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),  # of a Python newer than the module
    ):
        try:
            loaded.main()
        except SystemExit:
            pass
        except Exception as error:
            # On a host this is a traceback, and a failed result.
            return {"failed": True, "msg": f"{type(error).__name__}: {error}", "crashed": True}
    result: dict[str, Any] = json.loads(said.getvalue())
    return {key: value for key, value in result.items() if key not in _ALWAYS}

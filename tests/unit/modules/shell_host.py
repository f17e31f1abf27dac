"""A host made of this machine's own shell, and a way to run a module on it."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from opsrunner import modules
from opsrunner.ledger.records import Result
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.plan import folders
from opsrunner.remote import Become, Command, Completed, OnOutput

SHELLS = [["/bin/sh"]]
if shutil.which("bash"):
    SHELLS.append(["bash", "--posix"])
if shutil.which("busybox"):
    SHELLS.append(["busybox", "sh"])


class ShellRemote:
    """Satisfies Remote by running every line in a shell of this machine."""

    host = "here"
    is_local = False

    def __init__(self, shell: list[str], directory: Path) -> None:
        self.shell = shell
        self.directory = directory
        self.commands: list[Command] = []

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        self.commands.append(command)
        # Variables that the test run itself was started with must not decide what a test sees.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), **command.environment}
        started = datetime.datetime.now(datetime.UTC)
        process = subprocess.Popen(
            [*self.shell, "-c", command.line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=command.directory or self.directory,
            env=environment,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(command.stdin, timeout=60)
        except BaseException:
            _end_group(process.pid)
            process.communicate()
            raise
        # What the command left behind in its group, such as a service's daemon, ends with the test.
        _end_group(process.pid)
        if on_output and stdout:
            on_output("stdout", stdout)
        if on_output and stderr:
            on_output("stderr", stderr)
        ended = datetime.datetime.now(datetime.UTC)
        rc = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return Completed(rc, stdout, stderr, started, ended, len(stdout), len(stderr))

    def put(
        self, data: bytes, path: str, *, mode: int = 0o600, become: Become | None = None, timeout: float | None = None
    ) -> None:
        Path(path).write_bytes(data)
        Path(path).chmod(mode)

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        return (self.directory / path).read_bytes()

    def connect(self) -> None:
        return None

    def reset(self) -> None:
        return None


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


class FolderFiles:
    """The files that came with a run, with their modes, from a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str, *, folder: str) -> bytes:
        target = self.root / folder / path
        try:
            if path.endswith("/"):
                return folders.encoded(folders.listing(target))
            return target.read_bytes()
        except OSError:
            raise ModuleFailure(f"Could not find or access '{path}'") from None

    def mode(self, path: str, *, folder: str) -> int:
        return (self.root / folder / path).stat().st_mode & 0o7777

    def write(self, path: str, data: str | bytes, *, folder: str = "files", mode: int = 0o644) -> None:
        target = self.root / folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())
        target.chmod(mode)


class Host:
    """Runs modules by name; ``home`` is the host's home and working directory."""

    def __init__(self, shell: list[str], home: Path, files: FolderFiles) -> None:
        self.home = home
        self.files = files
        self.remote = ShellRemote(shell, home)
        self.slept: list[float] = []
        self.output: list[tuple[str, bytes]] = []

    def run(
        self,
        module: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        render_text: Callable[..., str] = lambda text, **rules: text,
        **options: Any,
    ) -> Result:
        """The module's result; a ModuleFailure comes back as a failed result, as the executor gives it."""
        loaded = modules.get(module)
        known = dict(variables or {})
        try:
            context = Context(
                host="here",
                arguments=validate(module, loaded.SPEC, arguments or {}),
                remote=self.remote,
                files=self.files,
                render=lambda value: self._rendered(value, known),
                render_text=render_text,
                condition=lambda value: bool(eval(str(value), {}, dict(known))),
                evaluate=lambda expression: eval(expression, {}, dict(known)),
                shown=lambda expression: (eval(expression, {}, dict(known)), []),
                sleep=self._sleep,
                monotonic=time.monotonic,
                on_output=lambda stream, data: self.output.append((stream, data)),
                **options,
            )
            return dict(loaded.run(context))
        except ModuleFailure as failure:
            return {"failed": True, "changed": False, **failure.extra, "msg": failure.msg}

    @staticmethod
    def _rendered(value: Any, known: Mapping[str, Any]) -> Any:
        if isinstance(value, str) and value.startswith("{{"):
            return known[value.strip("{} ")]
        return value

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        time.sleep(min(seconds, 0.2))

    @property
    def round_trips(self) -> int:
        return len(self.remote.commands)

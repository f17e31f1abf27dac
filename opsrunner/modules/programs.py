"""Programs of the host that manage it (useradd, apt-get, systemctl …): run one, and see how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.posix import shown, word

#: These programs lie where a plain user's shell does not look, and their words are read: they speak English.
SURROUNDINGS = """
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
LC_ALL=C LANGUAGE=C
export PATH LC_ALL LANGUAGE
"""

# Output goes to files and not to pipes, which a daemon that the program starts would hold open.
_RUN = (
    SURROUNDINGS
    + r"""
command -v "$1" >/dev/null 2>&1 || { echo "the host has no $1" >&2; exit 127; }
said=$(mktemp -d) || exit 126
trap 'rm -rf -- "$said"' EXIT
"$@" >"$said/out" 2>"$said/err"
code=$?
cat "$said/out"
cat "$said/err" >&2
exit $code
"""
)


class Ended(Struct, frozen=True):
    """How a program ended, and what it said."""

    rc: int
    stdout: str
    stderr: str

    def result(self) -> Result:
        """The keys by which a step's result tells of it."""
        lines = {"stdout_lines": self.stdout.splitlines(), "stderr_lines": self.stderr.splitlines()}
        return {"rc": self.rc, "stdout": self.stdout, "stderr": self.stderr, **lines}

    def reason(self) -> str:
        """What it said of its failure."""
        return (self.stderr.strip() or self.stdout.strip()) or f"it ended with status {self.rc}"


def run_program(
    context: Context,
    words: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
) -> Ended:
    """Run a program with these words; ``environment`` is set beside the step's own."""
    if environment:
        context = structs.replace(context, environment={**environment, **context.environment})
    line = f"set -- {' '.join(map(word, words))}\n{_RUN}"
    completed = context.exec(line, stdin=stdin, directory=directory)
    stdout, stderr = (shown(data.decode("utf-8", "surrogateescape")) for data in (completed.stdout, completed.stderr))
    return Ended(completed.rc, stdout, stderr)


def succeed(context: Context, words: Sequence[str], msg: str, **options: bytes) -> Ended:
    """As :func:`run_program`; a status other than 0 fails the step with ``msg`` and what the program said."""
    ended = run_program(context, words, **options)  # type: ignore[arg-type]
    if ended.rc != 0:
        raise ModuleFailure(f"{msg}: {ended.reason()}", **ended.result())
    return ended

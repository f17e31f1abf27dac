"""Measures opsrunner beside whoever else could be picked, on one sshd fleet, and writes docs/performance.md.

    .venv/bin/python benchmarks [--only W1,W3] [--hosts N] [--repeats 3] [--quick] [--peers VIRTUALENV] [--write-docs]

Clients: asyncssh, parallel-ssh, pyinfra, fabric, ansible, clush, where they are found on PATH or in the virtualenv.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # instead of this folder, when it was run as a program

from benchmarks import documents  # noqa: E402
from benchmarks.session import Chosen, measure  # noqa: E402
from benchmarks.workloads import EVERYTHING, PROFILED, WORKLOADS  # noqa: E402


def names(text: str) -> list[str]:
    """The workloads of ``--only``."""
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in EVERYTHING:
            raise argparse.ArgumentTypeError(f"no workload is {name!r}: there are {', '.join(EVERYTHING)}")
    return chosen


def profiled(text: str) -> list[str]:
    """The workloads of ``--profile``."""
    chosen = names(text)
    for name in chosen:
        if name not in (*WORKLOADS, "W6"):
            raise argparse.ArgumentTypeError(f"{name} has no profile: there are {', '.join((*WORKLOADS, 'W6'))}")
    return chosen


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=names, default=list(EVERYTHING), help=f"of {', '.join(EVERYTHING)}")
    parser.add_argument("--hosts", type=positive, help="instead of each workload's own number, up to 1,000")
    parser.add_argument("--control-hosts", type=positive, default=100_000, help="most hosts of W6")
    parser.add_argument("--repeats", type=positive, default=3)
    parser.add_argument("--quick", action="store_true", help="few hosts and one run: does it work?")
    parser.add_argument("--slow", action="store_true", help="also the peers that take minutes (mitogen)")
    parser.add_argument(
        "--peers",
        type=Path,
        default=os.environ.get("BENCHMARK_PEERS") or None,
        help="virtualenv of the peers (BENCHMARK_PEERS)",
    )
    parser.add_argument("--without", default="", help="clients to leave out, with commas between")
    parser.add_argument("--profile", type=profiled, default=list(PROFILED), help="what `--only profiles` looks at")
    parser.add_argument("--raw", type=Path, help="folder for py-spy's stacks, which speedscope reads")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmark.json", help="where the results go")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing, take these results")
    parser.add_argument("--write-docs", action="store_true", help="make docs/performance.md from the results")
    given = parser.parse_args()
    if given.source and not given.source.is_file():
        parser.error(f"no file is {given.source}")
    if given.hosts and given.hosts > 1000:
        parser.error("the fleet has 1,000 hosts")
    if given.peers and not (given.peers / "bin" / "python").exists():
        parser.error(f"no virtualenv is in {given.peers}")
    return given


def main() -> None:
    given = arguments()
    # Whoever ends us ends what we have started, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    if given.source:
        results = documents.load(given.source)
    else:
        chosen = Chosen(
            given.only,
            given.repeats,
            given.hosts,
            given.quick,
            given.slow,
            given.peers,
            frozenset(word.strip() for word in given.without.split(",") if word.strip()),
            given.control_hosts,
            given.profile,
            given.raw,
        )
        results = {}  # of an earlier go nothing is taken along: it may have been a quick one
        try:
            for name, result in measure(chosen):
                results[name] = result
                given.json.parent.mkdir(parents=True, exist_ok=True)
                documents.save(given.json, results)
        except KeyboardInterrupt:
            sys.exit(130)
        print(f"results: {given.json}")
    if given.write_docs:
        documents.write(results)
    if not given.source and (failed := [name for name in given.only if name not in results]):
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

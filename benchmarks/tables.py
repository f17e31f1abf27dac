"""From what was measured to tables, ratios and verdicts; nothing is measured or read here.

Results are what the command writes as JSON: ``machine``, and for each name of ``workloads.EVERYTHING`` its figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import workloads
from benchmarks.workloads import OURS, WORKLOADS, Workload


@dataclass(frozen=True)
class Table:
    """A head, and rows as wide; columns of words (``left``) stand left, figures right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)

    def markdown(self) -> str:
        rule = ["---" if number in self.left else "---:" for number in range(len(self.head))]
        return "".join(f"| {' | '.join(row)} |\n" for row in (self.head, rule, *self.rows))

    def text(self) -> str:
        columns = list(zip(self.head, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        aligned = [
            [cell.ljust(width) if number in self.left else cell.rjust(width) for cell in column]
            for number, (column, width) in enumerate(zip(columns, widths, strict=True))
        ]
        return "".join("  ".join(cells).rstrip() + "\n" for cells in zip(*aligned, strict=True))


@dataclass(frozen=True)
class Verdict:
    """A goal, and what came of it; ``reached`` None: it could not be told."""

    goal: str
    figure: str
    reached: bool | None

    def __str__(self) -> str:
        said = {True: "reached", False: "missed", None: "not measured"}[self.reached]
        return f"{self.goal}: {self.figure}, {said}" if self.figure else f"{self.goal}: {said}"


@dataclass(frozen=True)
class Row:
    """A client's medians in one workload."""

    client: str
    wall: float
    fastest: float
    slowest: float
    #: Seconds of CPU.
    cpu: float
    server: float
    #: Megabytes.
    memory: float
    beyond_stored: float
    #: Microseconds of the client's CPU for a host-step.
    cost: float
    verified: int
    runs: int

    @property
    def is_ours(self) -> bool:
        return self.client.startswith(OURS)


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """Who was measured in a workload, fastest first."""
    host_steps = result["hosts"] * result["steps"]

    def row(client: str, samples: Sequence[Mapping[str, float]]) -> Row:
        def middle(name: str) -> float:
            return statistics.median(sample[name] for sample in samples)

        walls = [sample["wall"] for sample in samples]
        return Row(
            client,
            middle("wall"),
            min(walls),
            max(walls),
            middle("client"),
            middle("server"),
            middle("memory"),
            statistics.median(sample["memory"] - sample["stored"] for sample in samples),
            1e6 * middle("client") / host_steps,
            min(int(sample["verified"]) for sample in samples),
            len(samples),
        )

    found = [row(client, samples) for client, samples in result["samples"].items() if samples]
    return sorted(found, key=lambda each: each.wall)


def best_peer(rows: Sequence[Row], hosts: int) -> Row | None:
    """The fastest of the others whose output was right on every host."""
    right = [row for row in rows if not row.is_ours and row.verified == hosts]
    return min(right, key=lambda row: row.wall, default=None)


HEAD = (
    "client",
    "wall, median (min..max)",
    "× best peer",
    "client CPU",
    "server CPU",
    "memory",
    "client CPU a host-step",
    "right output",
)


def workload_table(result: Mapping[str, Any]) -> Table:
    rows = rows_of(result)
    best = best_peer(rows, result["hosts"])

    def cells(row: Row) -> list[str]:
        spread = f"{seconds(row.wall)} ({row.fastest:.2f}..{row.slowest:.2f})" if row.runs > 1 else seconds(row.wall)
        return [
            row.client,
            spread if row.runs > 1 else f"{spread} (once)",
            f"{row.wall / best.wall:.2f}" if best else "",
            seconds(row.cpu),
            seconds(row.server),
            f"{row.memory:.0f} MB",
            f"{row.cost:.0f} µs",
            "all" if row.verified == result["hosts"] else f"{row.verified} of {result['hosts']}",
        ]

    return Table(HEAD, [cells(row) for row in rows])


def workload_verdicts(workload: Workload, result: Mapping[str, Any]) -> list[Verdict]:
    """Whether we have reached what we wanted, against the peers of the same run."""
    rows = rows_of(result)
    ours = next((row for row in rows if row.client == OURS), None)
    goal = workload.goal
    named = next((row for row in rows if row.client == goal.against and row.verified == result["hosts"]), None)
    peer = best_peer(rows, result["hosts"]) if goal.against == "best" else named
    right = ours is not None and ours.verified == result["hosts"]
    if not ours or not peer:
        verdicts = [Verdict(f"Goal: {goal.text}", "", None)]
    else:
        ratio = ours.wall / peer.wall
        figure = f"{ratio:.2f}" if goal.against != "best" else f"{ratio:.2f} × {peer.client}"
        verdicts = [Verdict(f"Goal: {goal.text}", figure, right and ratio <= goal.factor)]
    if workload.memory is not None and ours:
        reached = right and ours.beyond_stored <= workload.memory
        text = f"Goal: at most {workload.memory:g} MB of client memory beyond what is stored"
        verdicts.append(Verdict(text, f"{ours.beyond_stored:.0f} MB", reached))
    return verdicts


# ---------------------------------------------------------------------- the control plane
PARTS = ("command line", "workers", "redis")


@dataclass(frozen=True)
class Control:
    """Medians of the runs with so many hosts."""

    hosts: int
    steps: int
    wall: float
    #: Microseconds of CPU for a host-step: of all, and by who used them.
    cost: float
    parts: Mapping[str, float]
    worker: float
    redis: float


def control_rows(runs: Sequence[Mapping[str, float]]) -> list[Control]:
    """Fewest hosts first."""
    found = []
    for hosts in sorted({int(run["hosts"]) for run in runs}):
        same = [run for run in runs if run["hosts"] == hosts]

        def middle(name: str, same: Sequence[Mapping[str, float]] = same) -> float:
            return statistics.median(run[name] for run in same)

        each = 1e6 / (hosts * same[0]["steps"])
        cost = statistics.median(sum(run[part] for part in PARTS) for run in same) * each
        parts = {part: middle(part) * each for part in PARTS}
        found.append(
            Control(hosts, int(same[0]["steps"]), middle("wall"), cost, parts, middle("worker MB"), middle("redis MB"))
        )
    return found


def control_table(runs: Sequence[Mapping[str, float]]) -> Table:
    head = ("hosts", "wall", "CPU a host-step", *PARTS, "memory of a worker", "of Redis")
    rows = [
        [
            f"{row.hosts:,}",
            seconds(row.wall),
            f"{row.cost:.0f} µs",
            *(f"{row.parts[part]:.0f} µs" for part in PARTS),
            f"{row.worker:.0f} MB",
            f"{row.redis:.0f} MB",
        ]
        for row in control_rows(runs)
    ]
    return Table(head, rows)


def control_verdicts(runs: Sequence[Mapping[str, float]]) -> list[Verdict]:
    rows = control_rows(runs)
    at_goal = next((row for row in rows if row.hosts == workloads.CONTROL_HOSTS), None)
    largest = rows[-1] if rows else None
    verdicts = [
        Verdict(
            f"Goal: at most {workloads.CONTROL_COST} µs of CPU a host-step with {workloads.CONTROL_HOSTS:,} hosts",
            f"{at_goal.cost:.0f} µs" if at_goal else "",
            at_goal.cost <= workloads.CONTROL_COST if at_goal else None,
        )
    ]
    if largest and len(rows) > 1:
        growth = largest.cost / min(row.cost for row in rows[:-1])
        verdicts += [
            Verdict(
                f"Goal: flat; with {largest.hosts:,} hosts at most {workloads.CONTROL_GROWTH:g} × the least of fewer",
                f"{growth:.2f} ×",
                growth <= workloads.CONTROL_GROWTH,
            ),
            Verdict(
                f"Goal: a worker has at most {workloads.CONTROL_MEMORY:,} MB with {largest.hosts:,} hosts",
                f"{largest.worker:.0f} MB",
                largest.worker <= workloads.CONTROL_MEMORY,
            ),
        ]
    return verdicts


# ---------------------------------------------------------------------- idle, start
def idle_table(result: Mapping[str, float]) -> Table:
    head = ("connections", "CPU of the worker", "of Redis", "memory each")
    rows = [
        ["0", percent(result["worker before"]), percent(result["redis before"]), ""],
        [
            f"{result['connections']:,}",
            percent(result["worker"]),
            percent(result["redis"]),
            f"{result['kilobytes']:.0f} KB",
        ],
    ]
    return Table(head, rows)


def idle_verdicts(result: Mapping[str, float]) -> list[Verdict]:
    extra = result["worker"] + result["redis"]
    return [
        Verdict(
            f"Goal: less than {workloads.IDLE_CPU:g} % of a core, worker and Redis together",
            percent(extra),
            extra < workloads.IDLE_CPU,
        ),
        Verdict(
            f"Goal: at most {workloads.IDLE_MEMORY} KB a connection",
            f"{result['kilobytes']:.0f} KB",
            result["kilobytes"] <= workloads.IDLE_MEMORY,
        ),
    ]


#: Wall time and CPU of each run of a command.
Starts = Mapping[str, Sequence[Sequence[float]]]


def start_table(result: Starts) -> Table:
    rows = []
    for name, runs in result.items():
        walls, cpus = zip(*runs, strict=True)
        spread = f"{1000 * min(walls):.0f}..{1000 * max(walls):.0f}"
        cpu = f"{1000 * statistics.median(cpus):.0f} ms"
        rows.append([name, f"{1000 * statistics.median(walls):.0f} ms ({spread})", cpu])
    return Table(("command", "wall, median (min..max)", "its own CPU"), rows)


def start_verdicts(result: Starts) -> list[Verdict]:
    goals = {"opsrunner --version": workloads.START_VERSION, "opsrunner exec, one warm host": workloads.START_EXEC}
    found = []
    for name, goal in goals.items():
        if name in result:
            wall = statistics.median(run[0] for run in result[name])
            found.append(Verdict(f"Goal: `{name}` in less than {goal:g} s", f"{wall:.2f} s", wall < goal))
    return found


# ---------------------------------------------------------------------- everything
def load(result: Mapping[str, Any]) -> float:
    """How many processors something else used while the samples were taken."""
    samples = [sample for found in result["samples"].values() for sample in found]
    return sum(sample["other"] for sample in samples) / (sum(sample["wall"] for sample in samples) or 1)


def growth_table(result: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Client → hosts → sample, as wall time and client CPU."""
    sizes = sorted({int(size) for samples in result.values() for size in samples})

    def cell(samples: Mapping[str, Mapping[str, float]], size: int) -> str:
        sample = samples.get(str(size))
        return f"{sample['wall']:.1f} s, {sample['client']:.1f} s" if sample else ""

    rows = [[client, *(cell(samples, size) for size in sizes)] for client, samples in result.items()]
    return Table(("wall, client CPU", *(f"{size:,} hosts" for size in sizes)), rows)


#: A name, hosts, and a value for each number of hosts.
Line = tuple[str, Sequence[int], Sequence[float]]


def growth_lines(result: Mapping[str, Mapping[str, Mapping[str, float]]], value: str) -> list[Line]:
    """A line for each client, ours first."""
    found: list[Line] = []
    for client, samples in sorted(result.items(), key=lambda each: not each[0].startswith(OURS)):
        sizes = sorted(map(int, samples))
        found.append((client, sizes, [samples[str(size)][value] for size in sizes]))
    return found


def control_lines(runs: Sequence[Mapping[str, float]]) -> tuple[list[Line], list[Line]]:
    """Microseconds of CPU for a host-step, and megabytes of memory."""
    rows = control_rows(runs)
    hosts = [row.hosts for row in rows]
    cost: list[Line] = [("all told", hosts, [row.cost for row in rows])]
    cost += [(part.replace("redis", "Redis"), hosts, [row.parts[part] for row in rows]) for part in PARTS]
    memory: list[Line] = [
        ("a worker", hosts, [row.worker for row in rows]),
        ("Redis", hosts, [row.redis for row in rows]),
    ]
    return cost, memory


def profile_table(results: Mapping[str, Any], most: int = 5) -> Table:
    """The largest costs of each profile."""
    rows = []
    for name, result in results.items():
        for number, (who, share) in enumerate(result["owners"][:most]):
            file, _, function = who.partition(" ")
            rows.append(["" if number else name, f"{share:.0f} %", f"`{file}` {function}".strip()])
    return Table(("", "share", "whose"), rows, left=(0, 2))


def profile_notes(results: Mapping[str, Any], most: int = 4) -> list[str]:
    """Who used the CPU, and which rooms or libraries the worker's part went to."""
    found = []
    for name, result in results.items():
        used = ", ".join(f"{who} {seconds(value)}" for who, value in result["cpu"])
        rooms = ", ".join(f"{room} {share:.0f} %" for room, share in result["rooms"][:most])
        found.append(f"{name}: CPU of {used}; of the worker's, {rooms} ({result['samples']} samples)")
    return found


def section(name: str, result: Any) -> tuple[Table, list[str]]:
    """The table of one name of EVERYTHING, and what is to be said below it."""
    if name == "growth":
        return growth_table(result), []
    if name == "profiles":
        return profile_table(result), profile_notes(result)
    if name == "W6":
        table, verdicts = control_table(result), control_verdicts(result)
    elif name == "idle":
        table, verdicts = idle_table(result), idle_verdicts(result)
    elif name == "start":
        table, verdicts = start_table(result), start_verdicts(result)
    else:
        table, verdicts = workload_table(result), workload_verdicts(WORKLOADS[name], result)
    return table, [str(verdict) for verdict in verdicts]


def title(name: str) -> str:
    return WORKLOADS[name].title if name in WORKLOADS else workloads.OTHERS[name]


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def percent(value: float) -> str:
    return f"{value:.2f} %"

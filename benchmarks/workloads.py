"""What is measured, and what we want to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OURS = "opsrunner"

Action = Literal["echo", "ten", "big"]


@dataclass(frozen=True)
class Task:
    """What a client is to do: an action on so many hosts."""

    action: Action
    hosts: int
    #: Over connections of an earlier run.
    warm: bool = False
    #: 20 ms away.
    far: bool = False

    @property
    def steps(self) -> int:
        return 10 if self.action == "ten" else 1


@dataclass(frozen=True)
class Goal:
    """Wall time at most ``factor`` × that of ``against``: a client, or the best of all peers."""

    factor: float
    against: str = "best"

    @property
    def text(self) -> str:
        return f"at most {self.factor:g} × {'the best peer' if self.against == 'best' else self.against}"


@dataclass(frozen=True)
class Workload:
    title: str
    task: Task
    goal: Goal
    #: Megabytes of memory, beyond what is stored.
    memory: float | None = None


WORKLOADS = {
    "W1": Workload("one command, cold", Task("echo", 500), Goal(1.0)),
    "W2": Workload("one command over warm connections, typed at a shell", Task("echo", 500, warm=True), Goal(0.9)),
    "W3": Workload("ten steps in lockstep, cold", Task("ten", 200), Goal(0.35, "pyinfra")),
    "W4": Workload("1 MB of output from each host, all of it kept, cold", Task("big", 200), Goal(1.0), memory=250),
    "W5": Workload("one command on hosts 20 ms away, cold", Task("echo", 200, far=True), Goal(1.0)),
}
#: The rest of what the command measures, with its title.
OTHERS = {
    "W6": "the control plane alone: hosts answer at once, ten steps, two worker processes",
    "idle": "1,000 warm connections that nobody uses",
    "start": "the command line's start",
    "growth": "from 10 to 1,000 hosts over SSH",
    "profiles": "where a worker's time goes",
}
EVERYTHING = (*WORKLOADS, *OTHERS)

#: W6: microseconds of CPU a host-step; hosts from and to which it is to be flat, and what counts as flat; megabytes.
CONTROL_COST = 150
CONTROL_GROWTH = 1.2
CONTROL_MEMORY = 1000
CONTROL_HOSTS = 10_000
#: Workloads that are profiled, and the hosts of W6 there.
PROFILED = ("W1", "W3", "W6")
CONTROL_PROFILED = 2000
#: Percent of a core, and kilobytes a connection.
IDLE_CPU = 0.5
IDLE_MEMORY = 80
#: Seconds.
START_VERSION = 0.1
START_EXEC = 0.45

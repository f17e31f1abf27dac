"""What the ledger's transitions mean, in plain Python: same arguments, same answers, nothing but dicts and sets.

Host-steps are keys ``(step, host)``; a state is ``("C", token, boot)``, ``("R", token, boot, guard)`` or
``("T", status)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from opsrunner.ledger import keys
from opsrunner.ledger.transitions import Arguments

Place = tuple[int, str]
OPEN = ("submitted", "running")


@dataclass
class Run:
    """One run as the ledger keeps it."""

    id: str
    status: str = "submitted"
    cursor: str = "new"
    cancel: bool = False
    halt: bool = False
    seq: int = 0
    reached: int = -1
    entered: int = 0
    walk: int = 0
    lap: int = 0
    retries: int = 0
    locking: bool = False
    limits: dict[str, int] = field(default_factory=dict)
    cancels: set[str] = field(default_factory=set)
    front: dict[str, int] = field(default_factory=dict)
    positions: dict[str, str] = field(default_factory=dict)
    states: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    tokens: dict[Place, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    stood: dict[str, str] = field(default_factory=dict)
    attempts: dict[Place, int] = field(default_factory=dict)
    late: dict[Place, tuple[str, str, str]] = field(default_factory=dict)  # status, position, bad
    guarded: set[Place] = field(default_factory=set)
    slots: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)
    too_late: bool = False  # its time, and as long as it may be late, have passed
    outcomes: int = 0  # told of in the stream

    def stopped(self, step: int, host: str) -> bool:
        cancelled = self.cancels & {f"h|{host}", f"s|{step}", f"x|{step}|{host}"}
        return self.status != "running" or self.cancel or self.halt or bool(cancelled)

    def stands_at(self, cursor: str) -> bool:
        return self.status in OPEN and self.cursor == cursor

    def ends(self, place: Place, status: str) -> None:
        self.states[place] = ("T", status)
        self.outcomes += 1


class Model:
    """Every run, and what they share."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.open: set[str] = set()
        self.boots: set[str] = set()
        self.queues: dict[str, list[str]] = {}  # host → the runs that hold or want it, in their order
        self.budgets: dict[str, set[tuple[str, Place]]] = {}
        self.bell: list[str] = []

    def apply(self, arguments: Arguments) -> Any:
        """Do as the transition would, and give its answer."""
        name, *rest = arguments
        return getattr(self, f"do_{name}")(*rest)

    def run(self, key: str) -> Run:
        return self.runs[key.removeprefix(keys.run(""))]

    # ------------------------------------------------------------------ one host × step
    def do_claim(
        self, key: str, cursor: str, step: int, index: int, token: str, boot: str, _: str, known: int, *hosts: str
    ) -> list[tuple[str, str, int]]:
        run = self.run(key)
        halted = run.cursor != cursor or boot not in self.boots or run.seq < known
        answers = []
        for host in hosts:
            state = run.states.get((step, host))
            if halted or run.stopped(step, host):
                verdict = "stop"
            elif run.front.get(host) != index:
                verdict = "moved"
            elif run.locking and self.holder(host) != run.id:
                verdict = "locked"
            elif state and (state[0] == "T" or state[1] != token):
                verdict = "taken"
            else:
                verdict = "go"
                run.states.setdefault((step, host), ("C", token, boot))
            answers.append((verdict, run.positions.get(host, ""), run.attempts.get((step, host), 0)))
        return answers

    def do_start(
        self,
        key: str,
        step: int,
        host: str,
        token: str,
        boot: str,
        _: str,
        known: int,
        guard: str,
        event: str,
        *rest: Any,
    ) -> str:
        run, place = self.run(key), (step, host)
        state = run.states.get(place, ("", ""))
        if state[0] not in "CR" or state[1] != token:
            return "fenced"
        if state[0] == "R":
            return "go"
        if run.stopped(step, host) or run.seq < known or (run.locking and self.holder(host) != run.id):
            return "stop"
        if boot not in self.boots:
            return "fenced"
        limits = dict(zip(rest[::2], rest[1::2], strict=True))
        if any(len(self.budgets.get(name, ())) >= limit for name, limit in limits.items()):
            return "full"
        for name in limits:
            self.budgets.setdefault(name, set()).add((run.id, place))
        if limits:
            run.slots[place] = tuple(limits)
        run.states[place] = ("R", token, boot, guard)
        if guard:
            run.guarded.add(place)
        run.seq += 1
        return "go"

    def do_finish(
        self, key: str, step: int, host: str, token: str, terminal: str, result: bytes, score: int | str, position: str,
        event: str, bad: int, reason: str, *_: Any,
    ) -> str:  # fmt: skip
        run, place, status = self.run(key), (step, host), terminal.split("|")[1]
        state = run.states.get(place, ("", ""))
        if state[0] == "T":
            if run.tokens.get(place) != token:
                return "fenced"
            if state[1] != "lost" or status == "lost":
                return "repeated"
            run.late.setdefault(place, (status, position, str(bad)))
            return "late"
        if state[1] != token:
            return "fenced"
        run.ends(place, status)
        run.tokens[place] = token
        self.free(run, place)
        self.go(run, host, score, position, reason, bool(bad))
        run.seq += 1
        return "stored"

    def do_hand_back(self, key: str, step: int, host: str, token: str) -> int:
        run = self.run(key)
        if run.states.get((step, host), ())[:2] != ("C", token):
            return 0
        del run.states[step, host]
        return 1

    def do_reap(
        self, key: str, step: int, host: str, _: str, again: int, terminal: str, result: bytes, score: str,
        position: str, event: str, reason: str,
    ) -> str:  # fmt: skip
        run, place = self.run(key), (step, host)
        state = run.states.get(place)
        if not state or state[0] == "T":
            return "none"
        if state[2] in self.boots:
            return "alive"
        self.free(run, place)
        guarded = state[0] == "R" and state[3] == "g"
        if state[0] == "C" or guarded or again:
            del run.states[place]
            if state[0] == "R" and not guarded:
                run.attempts[place] = run.attempts.get(place, 0) + 1
            return "pending"
        run.ends(place, "lost")
        run.tokens[place] = state[1]
        self.go(run, host, "", "", reason, True)
        return "lost"

    def do_withdraw(
        self, key: str, step: int, host: str, index: int, _: str, terminal: str, result: bytes, event: str, reason: str
    ) -> int:
        run = self.run(key)
        if run.front.get(host) != index or run.states.get((step, host), "C")[0] != "C":
            return 0
        run.ends((step, host), terminal.split("|")[1])
        self.go(run, host, "", "", reason, True)
        return 1

    def do_adopt(self, key: str, step: int, host: str, stood: str, end: str) -> int:
        run, place = self.run(key), (step, host)
        if place not in run.late:
            return 0
        status, position, bad = run.late.pop(place)
        run.ends(place, status)
        run.guarded.discard(place)
        if bad == "0" and stood and run.stood.get(host) == stood:
            run.stood[host] = f"{stood.split('|')[0]}|{position}" if position else end
        return 1

    # ------------------------------------------------------------------ hosts
    def go(self, run: Run, host: str, score: int | str, position: str, reason: str, bad: bool) -> None:
        """The host goes there; ``reason`` tells why it ended, ``bad`` that it went wrong."""
        known = run.stood.get(host, "|>")
        if (bad or reason) and known.endswith("|>") and run.cursor[0].isdigit() and host in run.positions:
            run.stood[host] = f"{run.cursor.split('.')[0]}|{run.positions[host]}"
        if reason:
            run.ended[host] = reason
            count = list(run.ended.values()).count(reason)
            if not run.halt and reason in run.limits and count > run.limits[reason]:
                run.halt = True
                self.bell.append(run.id)
        if score == "":
            run.front.pop(host, None)
            run.positions.pop(host, None)
            if reason:
                self.leave(run, host)
        else:
            run.front[host], run.positions[host] = int(score), position

    def free(self, run: Run, place: Place) -> None:
        for name in run.slots.pop(place, ()):
            self.budgets[name].discard((run.id, place))

    def holder(self, host: str) -> str | None:
        return next(iter(self.queues.get(host, ())), None)

    def leave(self, run: Run, host: str) -> None:
        """The run gives up its place on the host's lock; the next in line is rung for when it was its turn."""
        if host not in run.locks:
            return
        run.locks.discard(host)
        held = self.holder(host) == run.id
        self.queues[host].remove(run.id)
        heir = self.holder(host)
        if held and heir:
            self.bell.append(heir)

    # ------------------------------------------------------------------ the run
    def do_launch(self, key: str, _: str, run_id: str, code: int, reason: str, event: str) -> int:
        run = self.run(key)
        if run.status != "scheduled":
            return 0
        if run.too_late:
            self.end(run, "failed")
            return 0
        run.status = "submitted"
        self.open.add(run.id)
        self.bell.append(run.id)
        return 1

    def do_call_off(self, key: str, _: str, run_id: str, code: int, reason: str, event: str) -> int:
        run = self.run(key)
        if run.status != "scheduled":
            return 0
        self.end(run, "cancelled")
        return 1

    def do_begin(self, key: str, event: str, *fields: Any) -> int:
        run = self.run(key)
        if run.status != "submitted":
            return 0
        given = dict(zip(fields[::2], fields[1::2], strict=True))
        run.status, run.locking = "running", given.pop("locking") == 1
        run.limits = {name.removeprefix("max_"): int(limit) for name, limit in given.items()}
        return 1

    def do_move(self, key: str, old: str, new: str, *_: str) -> int:
        run = self.run(key)
        if not run.stands_at(old):
            return 0
        run.cursor = new
        return 1

    def do_enter(self, key: str, old: str, new: str, batch: int, kind: str, data: str, *places: Any) -> int:
        run = self.run(key)
        if not run.stands_at(old):
            return 0
        run.cursor, run.reached, run.entered = new, max(run.reached, batch), len(places) // 3
        run.front = {host: int(index) for host, index in zip(places[::3], places[1::3], strict=True)}
        run.positions = dict(zip(places[::3], places[2::3], strict=True))
        run.stood |= {host: f"{new.split('.')[0]}|>" for host in run.front if host in run.stood}
        return 1

    def do_decide(
        self, key: str, cursor: str, lap: int, plan: bytes, outline: bytes, reached: int, event: str, *stands: str
    ) -> int:
        run = self.run(key)
        if not run.stands_at(cursor) or run.lap != lap:
            return 0
        run.lap, run.reached = run.lap + 1, reached
        run.stood = dict(zip(stands[::2], stands[1::2], strict=True)) | run.stood
        return 1

    def do_place(self, key: str, cursor: str, _: str, *moves: Any) -> int:
        run = self.run(key)
        if not run.stands_at(cursor):
            return 0
        for host, score, position, reason, bad in zip(*(moves[i::5] for i in range(5)), strict=True):
            if host in run.front:
                self.go(run, host, score, position, reason, bool(bad))
        return 1

    def do_held(self, key: str, _: str, cursor: str, *hosts: str) -> list[str]:
        run = self.run(key)
        return [host for host in hosts if not run.stands_at(cursor) or self.holder(host) != run.id]

    def do_lock(self, key: str, _: str, cursor: str, *hosts: str) -> list[str]:
        run = self.run(key)
        if not run.stands_at(cursor):
            return list(hosts)
        for host in hosts:
            if run.id not in self.queues.setdefault(host, []):
                self.queues[host].append(run.id)
                run.locks.add(host)
        return [host for host in hosts if self.holder(host) != run.id]

    def do_release(self, key: str, _: str, cursor: str, *hosts: str) -> int:
        run = self.run(key)
        if not run.stands_at(cursor):
            return 0
        for host in hosts:
            self.leave(run, host)
        return 1

    def do_unlock(self, _: str, host: str, by: str, reason: str) -> str:
        holder = self.holder(host)
        if holder:
            self.leave(self.runs[holder], host)
        return holder or ""

    def do_close(self, key: str, _: str, run_id: str, cursor: str, status: str, *rest: Any) -> int:
        run = self.run(key)
        if not run.stands_at(cursor) or run.front:
            return 0
        self.end(run, status)
        return 1

    def do_hold(
        self, key: str, _: str, run_id: str, cursor: str, known: int, code: int, reason: str, event: str, *hosts: Any
    ) -> int:
        run = self.run(key)
        front = dict(zip(hosts[1::6], hosts[2::6], strict=True))
        if not run.stands_at(cursor) or run.seq >= known or run.front != front:
            return 0
        run.seq = known
        for step, host in zip(hosts[::6], hosts[1::6], strict=True):
            state = run.states.get((step, host), ("", ""))
            if state[0] != "T":
                run.ends((step, host), "lost")
                self.free(run, (step, host))
                if state[1]:
                    run.tokens[step, host] = state[1]
            self.go(run, host, "", "", "lost", True)
        self.end(run, "held")
        return 1

    def end(self, run: Run, status: str) -> None:
        run.status = status
        for host in sorted(run.locks):
            self.leave(run, host)
        self.open.discard(run.id)
        run.front, run.positions = {}, {}

    def do_reopen(
        self, key: str, _: str, run_id: str, finished: str, event: str, plan: bytes, outline: bytes, files: int,
        *rest: Any,
    ) -> int:  # fmt: skip
        run = self.run(key)
        if run.status in OPEN or self.finished(run.id) != finished:
            return 0
        run.status, run.cancel, run.halt, run.cancels, run.retries = "running", False, False, set(), 0
        run.lap += 1
        rest = rest[files * 2 :]
        left, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        back, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
        run.ended |= dict.fromkeys(left, "left")
        for host in back:
            run.ended.pop(host, None)
        self.walk_anew(run, rest)
        self.open.add(run.id)
        self.bell.append(run.id)
        return 1

    def do_unpark(self, key: str, cursor: str, *hosts: Any) -> int:
        run = self.run(key)
        if not run.stands_at(cursor):
            return 0
        run.retries += 1
        self.walk_anew(run, hosts)
        return 1

    def walk_anew(self, run: Run, hosts: Iterable[Any]) -> None:
        run.walk += 1
        run.cursor = f"new/{run.walk}"
        for host, stood, steps in readmitted(hosts):
            run.ended.pop(host, None)
            run.stood[host] = stood
            for step, again in steps.items():
                for known in (run.states, run.tokens, run.late):
                    known.pop((step, host), None)  # type: ignore[attr-defined]
                run.attempts[step, host] = run.attempts.get((step, host), 0) + again

    # ------------------------------------------------------------------ what comes from outside
    def finished(self, run_id: str) -> str:
        """When the run ended: the one thing that only the server knows."""
        raise NotImplementedError


def readmitted(flat: Iterable[Any]) -> list[tuple[str, str, dict[int, int]]]:
    """Host, stand and forgotten steps (whether each is a new attempt) of every readmission."""
    words = list(flat)
    found = []
    while words:
        host, stood, count, *words = words
        found.append((host, stood, dict(zip(words[: 2 * count : 2], words[1 : 2 * count : 2], strict=True))))
        words = words[2 * count :]
    return found

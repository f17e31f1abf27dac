"""One round: a run under faults, then the books; and the sum of many rounds."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.bastions import HOSTS_PER_ZONE, ZONES, Site
from tests.chaos.books import Audit, Books, attempts
from tests.chaos.injector import Injector
from tests.chaos.scenarios import FORMS, Form, Scenario

#: Seconds after the last fault was lifted within which a run must end.
ENDS_WITHIN = 120.0
#: Seconds that late commands are waited for before the books are read.
SETTLE = 2.0
#: The lists of an audit that should be empty.
WRONGS = ("doubles", "disagreements", "unaccounted", "leftovers")
#: Lines of each worker's log that a failure shows.
LOG_LINES = 20


@dataclass
class Round:
    """What came of one scenario; ``recovery`` is the seconds from the last lifted fault to the last run's end."""

    scenario: Scenario
    folder: Path
    run_ids: list[str] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)
    restarts: int = 0
    #: Seconds since the epoch; None when a run hangs.
    ended: float | None = 0.0
    recovery: float = 0.0

    def faults(self) -> list[str]:
        """What opsrunner did wrong, [] when all is well."""
        hung = [f"no end within {ENDS_WITHIN:g} s after the last fault was lifted"] if self.ended is None else []
        # Written before it is answered for, what Redis knew cannot be less than what workers were told.
        forgot_nothing = self.scenario.appendfsync == "always"
        held = [audit for audit in self.audits if audit.status == "held" and forgot_nothing]
        found = [fault for audit in self.audits for fault in audit.faults()]
        return hung + ["the run is held, though Redis forgot nothing"] * len(held) + found

    def story(self) -> str:
        """Everything that is needed to look into it."""
        runs = f"runs {', '.join(self.run_ids)} in {self.folder}"
        again = f"a round again: make chaos N=1 CHAOS_SEED={self.scenario.seed}"
        lines = [*self.faults(), str(self.scenario), *self.timeline, runs, again]
        for log in sorted(self.folder.glob("worker-*.log")):
            said = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("[20")]
            lines += [f"--- the end of {log.name}", *said[-LOG_LINES:]]
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """The figures as plain data."""
        outcomes: Counter[str] = Counter()
        for audit in self.audits:
            outcomes.update(audit.outcomes)
        return {
            "seed": self.scenario.seed,
            "mode": self.scenario.mode,
            "form": self.scenario.form,
            "resumed": self.scenario.resumed,
            "statuses": [audit.status for audit in self.audits],
            "injected": [fault.kind for fault in self.scenario.faults],
            "outcomes": dict(outcomes),
            **{name: sum(len(getattr(audit, name)) for audit in self.audits) for name in WRONGS},
            "hung": self.ended is None,
            "restarts": self.restarts,
            "recovery": self.recovery,
            "faults": self.faults(),
        }


def carry_out(scenario: Scenario, folder: Path) -> Round:
    """Set a site up, do to it what the scenario says while runs go on, and audit them."""
    done = Round(scenario, folder=folder)
    form = FORMS[scenario.form]
    books = [Books(folder / f"books{number}") for number in range(form.rivals)]
    site = Site(
        folder,
        scenario.mode,
        lease=scenario.lease,
        heartbeat=scenario.heartbeat,
        appendfsync=scenario.appendfsync,
    )
    try:
        for number, book in enumerate(books):
            done.run_ids.append(site.submit(book.playbook(form.plays), *form.words, name=f"play{number}"))
        injector = Injector(site, done.run_ids, scenario.seed)
        done.timeline = injector.timeline
        injector.follow(scenario.faults)
        lifted = time.time()
        await_end(done, site, injector)
        done.recovery = max(0.0, (done.ended or time.time()) - lifted)
        inspect(done, site, books, form)
        if scenario.resumed and not done.faults():
            done.timeline.append("resumed")
            site.stack.opsrunner("resume", done.run_ids[0], "--detach", code=None)
            await_end(done, site, injector)
            inspect(done, site, books, form)
        done.restarts = injector.restarts
    finally:
        site.close()
        for attempt in (attempt for run_id in done.run_ids for attempt in attempts(run_id)):
            shutil.rmtree(attempt, ignore_errors=True)
    return done


def await_end(done: Round, site: Site, injector: Injector) -> None:
    done.ended = injector.wait_for_end(ENDS_WITHIN)
    if done.ended is None:
        site.write_stacks()


def inspect(done: Round, site: Site, books: Sequence[Books], form: Form) -> None:
    """Audit every run."""
    time.sleep(SETTLE)
    found = [
        book.audit(site.redis.client, run_id, form.plays) for run_id, book in zip(done.run_ids, books, strict=True)
    ]
    done.audits = found
    stragglers = site.stragglers()
    if stragglers:
        site.write_stacks()
    found[0].leftovers += stragglers
    for audit, run_id in zip(found, done.run_ids, strict=True):
        audit.unaccounted += recap_faults(site, run_id)


def recap_faults(site: Site, run_id: str) -> list[str]:
    """What the command line tells of the run must name every host that was targeted."""
    document = json.loads(site.stack.opsrunner("show", run_id, "--output", "json").stdout)
    missing = len(ZONES) * HOSTS_PER_ZONE - len(document["stats"])
    return [f"{missing} hosts are not in the recap"] if missing else []


def summary(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum over many rounds."""
    rounds = list(records)
    outcomes: Counter[str] = Counter()
    for one in rounds:
        outcomes.update(one["outcomes"])
    return {
        "runs": sum(len(one["statuses"]) for one in rounds),
        "modes": dict(Counter(one["mode"] for one in rounds)),
        "forms": dict(sorted(Counter(one["form"] for one in rounds).items())),
        "statuses": dict(sorted(Counter(status for one in rounds for status in one["statuses"]).items())),
        "faults injected": dict(sorted(Counter(kind for one in rounds for kind in one["injected"]).items())),
        "host-steps": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        **{name: sum(one[name] for one in rounds) for name in (*WRONGS, "hung")},
        "workers that ended by themselves": sum(one["restarts"] for one in rounds),
        "worst recovery (s)": round(max((one["recovery"] for one in rounds), default=0.0), 1),
        "seeds at fault": [one["seed"] for one in rounds if one["faults"]],
    }

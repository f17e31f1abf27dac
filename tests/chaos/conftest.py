"""``CHAOS_ROUNDS=N``: N rounds more, from ``CHAOS_SEED`` on (else from a random one); a summary at the end."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.rounds import summary

#: Under this name a test hands over the figures of its round.
ROUND = "chaos round"


def pytest_configure(config: pytest.Config) -> None:
    # Set before xdist starts its processes: all must collect the same seeds.
    if os.environ.get("CHAOS_ROUNDS"):
        os.environ.setdefault("CHAOS_SEED", str(secrets.randbelow(10**8)))


def pytest_report_header(config: pytest.Config) -> str | None:
    if os.environ.get("CHAOS_ROUNDS"):
        return f"chaos: {os.environ['CHAOS_ROUNDS']} rounds from seed {os.environ['CHAOS_SEED']} on"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for some in terminalreporter.stats.values() for report in some]
    calls = [report for report in reports if getattr(report, "when", None) == "call"]
    properties = [pair for report in calls for pair in report.user_properties]
    records = [json.loads(value) for name, value in properties if name == ROUND]
    if not records:
        return
    told = summary(records)
    terminalreporter.section("chaos")
    for name, value in told.items():
        terminalreporter.write_line(f"{name}: {value}")
    if os.environ.get("CHAOS_REPORT"):
        Path(os.environ["CHAOS_REPORT"]).write_text(json.dumps({**told, "rounds": records}, indent=1) + "\n")

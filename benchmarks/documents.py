"""Results as a file, and the measured parts of docs/performance.md made from them, so that they never disagree."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.workloads import EVERYTHING, WORKLOADS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
#: What the page's figures were made from.
RESULTS = DOCS / "performance.json"
PICTURE = DOCS / "images" / "growth.png"
PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def save(file: Path, results: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(rounded(results), indent=1) + "\n")


def rounded(value: Any) -> Any:
    """No more digits than mean anything."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def part(name: str, results: Mapping[str, Any]) -> str:
    """What stands between the marks of ``name``."""
    if name == "machine":
        return machine(results["machine"])
    if name not in results:
        return "Not measured yet.\n"
    result = results[name]
    table, notes = tables.section(name, result)
    text = table.markdown()
    if notes:
        text += "\n" + "".join(f"* {note}.\n" for note in notes)
    if name not in WORKLOADS:
        return text
    text = f"{result['hosts']} hosts; meanwhile others used {tables.load(result):.1f} processors.\n\n{text}"
    if result["left_out"]:
        text += "\n" + "".join(f"* {client} is not there: {why}.\n" for client, why in result["left_out"].items())
    return text


def machine(facts: Mapping[str, str]) -> str:
    return (
        f"Measured {facts['measured']}: {facts['processors']}, Linux {facts['kernel']}, {facts['openssh']},"
        f" Python {facts['python']}; load average {facts['load']} when it began.\n"
    )


def rewritten(page: str, results: Mapping[str, Any]) -> str:
    """The page with its measured parts made anew."""
    return PART.sub(lambda match: match[1] + part(match[2], results) + match[3], page)


def marked(page: str) -> list[str]:
    """The names of the page's measured parts."""
    return [match[2] for match in PART.finditer(page)]


def write(results: Mapping[str, Any]) -> None:
    """Lay the results over those that the page has, and make page and picture anew."""
    from benchmarks import drawing

    known = load(RESULTS) if RESULTS.exists() else {}
    both = {**known, **results}
    save(RESULTS, {name: both[name] for name in ("machine", *EVERYTHING) if name in both})
    kept = load(RESULTS)
    PAGE.write_text(rewritten(PAGE.read_text(), kept))
    PICTURE.parent.mkdir(exist_ok=True)
    drawing.draw(kept, PICTURE)
    print(f"written: {PAGE}, {RESULTS}, {PICTURE}")

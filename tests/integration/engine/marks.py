"""Steps that write down that they really began, on hosts that share one file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


class Marks:
    """``file`` gets a line ``STEP HOST`` each time a command is carried out."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def task(self, name: str, then: str = "true") -> str:
        """A task that writes its line, then does ``then``."""
        return (
            f"    - name: {name}\n      shell: |\n"
            f"        echo {name} {{{{ inventory_hostname }}}} >> {self.file}\n        {then}\n"
        )

    def held(self, name: str, until: Path) -> str:
        """A task that goes on until that file is there; a minute at most, should its test have failed."""
        return self.task(name, f"for i in $(seq 600); do [ -e {until} ] && break; sleep 0.1; done")

    def play(self, *tasks: str, hosts: str = "fleet", keywords: str = "") -> str:
        """A play of those tasks; ``keywords`` as YAML lines of the play."""
        return f"- hosts: '{hosts}'\n  gather_facts: false\n{keywords}  tasks:\n{''.join(tasks)}"

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def of(self, name: str) -> list[str]:
        """The hosts that began the step, as often as they did."""
        return [line.partition(" ")[2] for line in self.lines() if line.partition(" ")[0] == name]

    def repeated(self) -> dict[str, int]:
        """The lines that are there more than once."""
        return {line: count for line, count in Counter(self.lines()).items() if count > 1}

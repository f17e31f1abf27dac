"""What user and group share: how accounts are looked up on the host."""

from __future__ import annotations

from opsrunner.modules.programs import SURROUNDINGS

# entry DATABASE NAME: the line of passwd or group by name; entries DATABASE: all of them. The system's files
# are read where there is no getent.
LOOK = (
    SURROUNDINGS
    + r"""
entry() {
    if has getent; then getent "$1" "$2" && return
    else while IFS= read -r line; do
        case $line in "$2":*) printf '%s\n' "$line"; return ;; esac
    done <"/etc/$1"; fi
    return 1
}
entries() { if has getent; then getent "$1"; else cat "/etc/$1"; fi; }
"""
)


def split(line: str) -> list[str]:
    """The fields of a line of passwd or group."""
    return line.split(":")

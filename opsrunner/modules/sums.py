"""Checksums of files on the host, with whatever tool it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

#: Names of checksums, and what sum_of calls them.
ALGORITHMS = {"md5": "5", "sha1": "1", "sha224": "224", "sha256": "256", "sha384": "384", "sha512": "512"}

# sum_of BITS PATH: prints the SHA of that size (1, 224, 256, 384, 512) or the MD5 (5) in hex, or
# nothing when the host has no tool for it.
SUM = r"""
sum_of() {
    case $1 in 5) tool=md5sum kind=md5 ;; *) tool=sha$1sum kind=sha$1 ;; esac
    if has $tool; then set -- "$($tool <"$2" 2>/dev/null)"
    elif has openssl; then set -- "$(openssl dgst -$kind -r <"$2" 2>/dev/null)"
    elif [ "$1" != 5 ] && has shasum; then set -- "$(shasum -a "$1" <"$2" 2>/dev/null)"
    elif has $kind; then set -- "$($kind -q <"$2" 2>/dev/null)"
    else return 1; fi
    printf '%s' "${1%% *}"
}
# tell_sum PATH: tells sha1 or, on a host without, sha256.
tell_sum() {
    for bits in 1 256; do
        found=$(sum_of $bits "$1") && [ -n "$found" ] && { fact "sha$bits" "$found"; return; }
    done
}
"""


def sha1(data: bytes) -> str:
    """Ansible's ``checksum`` of some content."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def same_content(told: Mapping[str, str], data: bytes) -> bool | None:
    """Whether the file that ``tell_sum`` told of holds ``data``; None when the host could not say."""
    if "sha1" in told:
        return told["sha1"] == sha1(data)
    if "sha256" in told:
        return told["sha256"] == hashlib.sha256(data).hexdigest()
    return None

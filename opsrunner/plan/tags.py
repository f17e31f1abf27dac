"""Which steps ``--tags`` and ``--skip-tags`` leave, by Ansible's rules. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from opsrunner.errors import did_you_mean

#: What a step without tags is tagged with, for the two options.
_UNTAGGED = frozenset(("untagged",))


#: Words for ``--tags`` and ``--skip-tags`` that are no tags of somebody's own.
_SPECIAL = frozenset(("all", "always", "never", "tagged", "untagged"))


def unmet(wanted: Iterable[str], met: Collection[str]) -> list[str]:
    """What is to be said of wanted tags that no task has: a slip leaves out what was meant, and all seems well."""
    own = sorted(tag for tag in met if tag not in _SPECIAL)
    known = f"there are {', '.join(own)}" if own else "none has any"
    return [
        f"no task that is reached has the tag {tag!r}: {did_you_mean(tag, own, known)}"
        for tag in wanted
        if tag not in met and tag not in _SPECIAL
    ]


def selected(tags: Iterable[str], only: Collection[str], skip: Collection[str]) -> bool:
    """Whether a step with these tags (its blocks' and play's included) is to be run.

    ``only`` empty means all. The special tags are ``always``, ``never``, ``tagged``, ``untagged``
    and ``all``; what is skipped wins, except that skipping ``all`` leaves what is tagged ``always``.
    """
    own = frozenset(tags) or _UNTAGGED
    return _wanted(own, frozenset(only) or frozenset(("all",))) and not _skipped(own, frozenset(skip))


def _wanted(own: frozenset[str], only: frozenset[str]) -> bool:
    if "always" in own or own & only:
        return True
    if "never" in own:
        return False
    return "all" in only or ("tagged" in only and own != _UNTAGGED)


def _skipped(own: frozenset[str], skip: frozenset[str]) -> bool:
    if "all" in skip:
        return "always" not in own or "always" in skip
    return bool(own & skip) or ("tagged" in skip and own != _UNTAGGED)

"""Hosts of a run, as ``logs --host`` and ``cancel --host`` take them."""

from __future__ import annotations

import pytest

from opsrunner.cli.run_hosts import run_hosts
from opsrunner.errors import InputError, InputErrors
from tests.unit.output.samples import WEB, play, record, step

RUN = record(play(step(0, "look"), step(1, "mend"), hosts=(*WEB, "odd[1]")))


@pytest.mark.parametrize(
    ("texts", "hosts"),
    [
        ([], []),
        (["web01"], ["web01"]),
        (["web01,web03"], ["web01", "web03"]),
        (["web[01-02]", "web02"], ["web01", "web02"]),
        (["odd[1]"], ["odd[1]"]),
    ],
)
def test_hosts_may_be_named_as_they_are_shown(texts: list[str], hosts: list[str]) -> None:
    assert run_hosts(RUN, texts) == hosts


def test_a_host_the_run_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no host 'web1'") as caught:
        run_hosts(RUN, ["web1"])
    assert caught.value.remedy == "did you mean web01?"


def test_all_slips_are_told_but_not_a_thousand() -> None:
    with pytest.raises(InputErrors) as caught:
        run_hosts(RUN, ["x1", "y[1-900]"])
    assert len(caught.value.errors) == 5

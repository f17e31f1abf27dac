"""How many examples the fuzzers try, and what they demand of each."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterator

from hypothesis import HealthCheck, settings

from opsrunner.errors import OpsrunnerError

#: With FUZZ_EXAMPLES=N each fuzzer tries N examples, others each time; without it a few, always the same.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
#: Seconds of processor time that one example may take: waiting for other processes does not count.
SECONDS = 2.0


def fuzzed(examples: int) -> settings:
    """The settings of one fuzzer that tries so many examples in CI."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def judged(seconds: float = SECONDS) -> Iterator[None]:
    """What happens inside must end in time, well or with an error that can be shown; nothing else may be raised."""
    gc.disable()  # what hypothesis keeps is looked through at length, and is none of the example's
    begin = time.process_time()
    try:
        yield
    except OpsrunnerError as error:
        assert "\n".join(error.lines()).strip()
        assert str(error)
    finally:
        spent = time.process_time() - begin
        gc.enable()
    assert spent < seconds

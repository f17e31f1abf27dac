"""One step on one host: when, loop, until, failed_when, notify. No Celery, no Redis, no clock of its own.

What it is given: the step, the host's scope of variables, a fenced :class:`Remote`, the templar, and a
:class:`Surroundings` with time, randomness and files. What it gives back: a :class:`StepResult`.
A host's failure is a value here; only a defect of ours raises.
"""

from opsrunner.executor.attempt import Begun, begin_step, reach, run_step
from opsrunner.executor.keywords import async_seconds, flag
from opsrunner.executor.prepared import Prepared
from opsrunner.executor.surroundings import Fenced, StepResult, Stopped, Surroundings

__all__ = [
    "Begun",
    "Fenced",
    "Prepared",
    "StepResult",
    "Stopped",
    "Surroundings",
    "async_seconds",
    "begin_step",
    "flag",
    "reach",
    "run_step",
]

"""Steps of a procedure that are carried out once, whoever is killed in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from changeover import clock
from changeover.domain.procedures import Step, StepStatus
from changeover.errors import (
    CarriedElsewhere,
    ChangeoverError,
    PublishFailed,
    StaleEpoch,
    StoreError,
)
from changeover.store import steps
from tasks.runtime import Runtime

Found = tuple[str, dict[str, Any]]
"""What a step says for people, and its data."""


def once(runtime: Runtime, subject: str, step: str, action: Callable[[], Found]) -> Step:
    """Return the result of a step: the one that is known, or that of doing it now.

    1. A step that is done is not done again. 2. A step that failed is: the cause may be mended.
    3. A kill between the action and its record repeats the action, which must therefore find what
       it did before (`make_backup` returns a finished backup, flags that are set stay set).

    Raises:
        StoreError, PublishFailed: Passing trouble: the task is tried again.
        StaleEpoch: A rollback came meanwhile: the procedure is over.
        CarriedElsewhere: Another run carries the procedure.
    """
    known = steps.one(runtime.store, runtime.migration, subject, step)
    if known is not None and known.status is StepStatus.DONE:
        return known
    began = clock.now()
    try:
        (detail, data), status = action(), StepStatus.DONE
    except (StoreError, PublishFailed, StaleEpoch, CarriedElsewhere):
        raise
    except ChangeoverError as error:
        detail, data, status = str(error), {}, StepStatus.FAILED
    return steps.save(runtime.store, Step(
        runtime.migration, subject, step, status, detail, began, clock.now(), data))

"""Whether the baseline is well, asked in a thread of its own: one that hangs keeps nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from changeover.observer.throttle import Throttle
from changeover.plan.model import Plan
from changeover.procedures import baseline

AGAIN_SECONDS = 2.0
FRESH_SECONDS = 5.0
"""An answer that is older says nothing any more."""


class BaselineHealth:
    """Asks the baseline's health while somebody wants to know it.

    Args:
        plan: The plan in force.
        told: Called with each answer's Unix time, in the thread that asks.
    """

    def __init__(self, plan: Plan, told: Callable[[float, bool], None]) -> None:
        self._plan, self._told, self._throttle = plan, told, Throttle()
        self._thread: threading.Thread | None = None
        self._answer: tuple[float, bool] | None = None

    def ask(self) -> None:
        """Ask, unless that was done a moment ago or is under way."""
        is_asking = self._thread is not None and self._thread.is_alive()
        if is_asking or not self._throttle.is_due("baseline", AGAIN_SECONDS):
            return
        self._thread = threading.Thread(target=self._ask, name="baseline", daemon=True)
        self._thread.start()

    @property
    def is_well(self) -> bool | None:
        """Whether it was well a moment ago; None when nobody knows yet."""
        if self._answer is None or time.monotonic() - self._answer[0] > FRESH_SECONDS:
            return None
        return self._answer[1]

    def _ask(self) -> None:
        is_well = baseline.is_well(self._plan)
        self._answer = time.monotonic(), is_well
        self._told(time.time(), is_well)

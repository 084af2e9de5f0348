"""A trigger stepped through a long time, by the same function that watches every second. Pure.

Of a time of which only minutes are kept, a minute's end is looked at. What was true at the end of
one minute and at that of the next counts as true in the seconds between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from changeover.analysis.backtest.may_hold import Flags
from changeover.analysis.trigger import Firing, Judged, TriggerState, step
from changeover.plan.triggers import TriggerSpec

Judge = Callable[[int], Judged]
"""Returns what a step of the grid says of a trigger's condition."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Equal steps of time.

    Args:
        first: Unix second of the first one's start, a multiple of `resolution`.
        resolution: Length of each in seconds.
        steps: How many.
    """

    first: int
    resolution: int
    steps: int

    @classmethod
    def over(cls, span: range, resolution: int) -> Grid:
        """Return the whole steps inside a span of seconds."""
        # Rounded up.
        first = -(-span.start // resolution) * resolution
        return cls(first, resolution, max(0, (span.stop - first) // resolution))

    @property
    def span(self) -> range:
        """The seconds of all steps."""
        return range(self.first, self.first + self.steps * self.resolution)

    def last_second(self, index: int) -> int:
        """Return the last second of a step."""
        return self.first + (index + 1) * self.resolution - 1

    def width(self, spec: TriggerSpec) -> int:
        """Return how many steps a trigger's window has; at least its length."""
        return max(1, math.ceil(spec.window.total_seconds() / self.resolution))


def replay(
    spec: TriggerSpec, grid: Grid, may_be_true: Flags, judge: Judge
) -> Iterator[Firing]:
    """Yield the firings of a trigger over a time, in order.

    Args:
        spec: The trigger.
        grid: The steps of the time, one for each that is known.
        may_be_true: For each step whether its condition may be true. Where it is not, the step
            is judged only when the trigger remembers something.
        judge: Says what a step says of the condition.
    """
    state, index, places = TriggerState(), 0, np.flatnonzero(may_be_true)
    while True:
        # What is not true changes nothing of an idle trigger: go on where it may be true.
        if _is_idle(state):
            later = int(np.searchsorted(places, index))
            if later == len(places):
                return
            index = int(places[later])
        if index >= grid.steps:
            return
        judged = judge(index)
        for at in _seconds(grid, index, state):
            state, found = step(spec, state, judged, at=at)
            if isinstance(found, Firing):
                yield found
        index += 1


def _is_idle(state: TriggerState) -> bool:
    """Whether a trigger neither fired nor remembers that its condition was true."""
    return state.fired_at is None and state.held_since is None


def _seconds(grid: Grid, index: int, state: TriggerState) -> range:
    """Return the seconds of a step that are stepped through."""
    last = grid.last_second(index)
    # True at the end of a minute says nothing of its other seconds, unless it was true before.
    first = last if _is_idle(state) else last - grid.resolution + 1
    return range(first, last + 1)

"""Error budgets over a long time: the sums of their windows at each step of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from changeover.analysis.backtest.may_hold import SLACK, Flags, Reals, rolled
from changeover.analysis.burning import Burnt, judge_budget
from changeover.analysis.trigger import Judged
from changeover.plan.triggers import TriggerSpec

Sums = tuple[Reals, Reals]


def budget_judge(
    spec: TriggerSpec, counted: Sums, *, resolution: int
) -> tuple[Callable[[int], Judged], Flags]:
    """Return what each step says of a budget, and in which steps it may burn too fast.

    Args:
        spec: A trigger with a budget.
        counted: Bad requests and all of each step.
        resolution: Seconds of a step; windows are whole steps.
    """
    pairs = []
    sums: dict[int, Sums] = {}
    for each in spec.burning:
        long, short = _steps(each.long, resolution), _steps(each.lasting, resolution)
        pairs.append((long, short, each.burn))
        for width in (long, short):
            sums[width] = rolled(counted[0], width), rolled(counted[1], width)

    def within(width: int, index: int) -> tuple[int, int]:
        bad, total = sums[width]
        return int(bad[index]), int(total[index])

    def judge(index: int) -> Judged:
        burnt = []
        for long, short, burn in pairs:
            lengths = long * resolution, short * resolution
            counts = within(long, index), within(short, index)
            burnt.append(Burnt(*lengths, burn, *counts))
        return judge_budget(spec, burnt)

    may_burn: Flags = np.zeros(len(counted[0]), np.bool_)
    allowed = spec.budget.allowed if spec.budget else 1.0
    for long, short, burn in pairs:
        # Multiplied instead of divided: a window without requests needs no case of its own.
        limit = burn * allowed * (1 - SLACK)
        bad, total = sums[long]
        lately, of_those = sums[short]
        may_burn |= (bad > 0) & (bad >= limit * total) & (lately >= limit * of_those)
    return judge, may_burn


def _steps(window: timedelta, resolution: int) -> int:
    return max(1, math.ceil(window.total_seconds() / resolution))

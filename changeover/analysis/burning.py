"""How fast an error budget burns. Pure.

A budget burns with 1 when it lasts exactly for the objective's time. It burns too fast when that is
so in a long window (enough was burnt) and in a short one (it goes on): several such pairs find both
an outage within minutes and a slow leak within days, and none stays red long after the end.

At low traffic one failure is a large share. So a long window needs some requests and some failures
before it says anything. (The workbook's chapter 5, "Low-traffic services", has the reasons.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from changeover.analysis.trigger import Judged
from changeover.plan.metrics import Metric, format_value
from changeover.plan.triggers import TriggerSpec
from changeover.plan.units import format_duration

CALM = 0.9
"""A budget must burn slower than this part of what fires before a trigger that fired is over."""
PARTS_OF_SHORT = 30
"""Resolution: so many parts of the shortest window."""


class BurnCounts:
    """Bad requests and all, by time, in a ring: as long as the longest window.

    Args:
        shortest: Seconds of the shortest window.
        longest: Seconds of the longest one.
    """

    def __init__(self, *, shortest: int, longest: int) -> None:
        self.step = max(1, shortest // PARTS_OF_SHORT)
        size = longest // self.step + 2
        self._slots = np.full(size, -1, np.int64)
        self._sums = np.zeros((2, size), np.int64)

    def add(self, at: int, bad: int, total: int) -> None:
        """Add requests of a second; a second that changed is added as its difference."""
        slot = at // self.step
        place = slot % len(self._slots)
        if self._slots[place] > slot:
            return  # older than the ring is long
        if self._slots[place] != slot:
            self._slots[place] = slot
            self._sums[:, place] = 0
        self._sums[:, place] += (bad, total)

    def within(self, seconds: int, *, at: int, since: int) -> tuple[int, int]:
        """Return (bad, all) of the window that ends with second `at`, none of it before `since`."""
        first = max((at + 1 - seconds) // self.step, -(-since // self.step))
        chosen = (self._slots >= first) & (self._slots <= at // self.step)
        bad, total = self._sums[:, chosen].sum(axis=1)
        return int(bad), int(total)

    def set_back(self, to: int) -> None:
        """Forget what comes at second `to` or later."""
        self._slots[self._slots >= to // self.step] = -1


@dataclass(frozen=True, slots=True)
class Burnt:
    """What two windows burnt: (bad, all) of each, and the burn rate that is too fast."""

    long_seconds: int
    short_seconds: int
    burn: float
    long: tuple[int, int]
    short: tuple[int, int]


def judge_budget(spec: TriggerSpec, burnt: Sequence[Burnt]) -> Judged:
    """Return what the windows say of a trigger's budget.

    Args:
        spec: A trigger with a budget.
        burnt: What its windows burnt, at least one.
    """
    found = [_Pair.of(spec, each) for each in burnt]
    known = [each for each in found if each.is_true is not None]
    worst = max(known or found, key=lambda each: (each.is_true is True, each.rates[0] or 0.0))
    is_true = any(each.is_true for each in known) if known else None
    backs = [each.is_back for each in found]
    is_back = None if None in backs else all(backs)
    numbers = {
        "objective": spec.budget.objective if spec.budget else None,
        "burn": worst.rates[0], "windows": [each.document() for each in found],
        "samples": worst.burnt.long[1]}
    bad, total = worst.burnt.long
    return Judged(is_true, False if is_true else is_back, worst.say(spec),
                  bad / total if total else None, numbers)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair of windows with its burn rates (long, short); None where there were no requests."""

    burnt: Burnt
    rates: tuple[float | None, float | None]
    is_true: bool | None
    is_back: bool | None

    @classmethod
    def of(cls, spec: TriggerSpec, burnt: Burnt) -> _Pair:
        allowed, fewest = (spec.budget.allowed, spec.budget.min_events) if spec.budget else (1.0, 1)
        long, short = (bad / total / allowed if total else None
                       for bad, total in (burnt.long, burnt.short))
        bad, total = burnt.long
        is_known = long is not None and total >= spec.min_samples
        is_much = is_known and bad >= fewest and (long or 0) >= burnt.burn
        is_true: bool | None = is_much and (short or 0) >= burnt.burn
        if not is_known or (is_much and short is None):
            is_true = None
        calm = CALM * burnt.burn
        is_back = None
        if long is not None or short is not None:
            is_back = any(rate is not None and rate < calm for rate in (long, short))
        return cls(burnt, (long, short), is_true, is_back)

    def say(self, spec: TriggerSpec) -> str:
        """Return one sentence with the numbers."""
        budget, metric = spec.budget, spec.measured
        bad, total = self.burnt.long
        names = [_named(each) for each in (self.burnt.long_seconds, self.burnt.short_seconds)]
        if self.is_true is None:
            return (f"{metric.name} of {spec.of}: {total} of at least {spec.min_samples} requests "
                    f"in {names[0]}, {self.burnt.short[1]} in {names[1]}")
        long, short = (rate or 0.0 for rate in self.rates)
        goal = f"{budget.objective * 100:g} %" if budget else ""
        return (f"{metric.name} of {spec.of} {_shown(metric, bad, total)} in {total} requests "
                f"burns the budget of {goal} {long:.1f} times as fast as allowed in {names[0]} and "
                f"{short:.1f} times in {names[1]} (bound {self.burnt.burn:g})")

    def document(self) -> dict[str, float | int | None]:
        """Return it for the evidence of a firing."""
        return {
            "long_seconds": self.burnt.long_seconds, "short_seconds": self.burnt.short_seconds,
            "burn": self.burnt.burn, "long_burn": self.rates[0], "short_burn": self.rates[1],
            "bad": self.burnt.long[0], "requests": self.burnt.long[1],
            "short_bad": self.burnt.short[0], "short_requests": self.burnt.short[1]}


def _named(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


def _shown(metric: Metric, bad: int, total: int) -> str:
    return format_value(metric, bad / total if total else None)

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
        # Windows begin and end within a slot.
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
        # Rounded up: a slot in which `since` lies has requests from before, too.
        after = -(-since // self.step)
        first = max((at + 1 - seconds) // self.step, after)
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
    worst = max(known or found, key=_badness)
    # One pair that knows is enough to fire; to be over, none may be unknown.
    is_true = any(each.is_true for each in known) if known else None
    backs = [each.is_back for each in found]
    is_back = None if None in backs else all(backs)
    bad, total = worst.burnt.long
    numbers = {
        "objective": spec.budget.objective if spec.budget else None,
        "burn": worst.rates[0],
        "windows": [each.document() for each in found],
        "samples": total,
    }
    value = bad / total if total else None
    if is_true:
        is_back = False
    return Judged(is_true, is_back, worst.say(spec), value, numbers)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair of windows with its burn rates (long, short); None where there were no requests."""

    burnt: Burnt
    rates: tuple[float | None, float | None]
    is_true: bool | None
    is_back: bool | None

    @classmethod
    def of(cls, spec: TriggerSpec, burnt: Burnt) -> _Pair:
        allowed, fewest = 1.0, 1
        if spec.budget:
            allowed, fewest = spec.budget.allowed, spec.budget.min_events
        long, short = _rate(burnt.long, allowed), _rate(burnt.short, allowed)
        bad, total = burnt.long
        is_known = long is not None and total >= spec.min_samples
        is_much = is_known and bad >= fewest and (long or 0) >= burnt.burn
        is_true: bool | None = is_much and (short or 0) >= burnt.burn
        # Much was burnt, but nobody asked lately: whether it goes on is unknown.
        if not is_known or (is_much and short is None):
            is_true = None
        calm = CALM * burnt.burn
        rates = [rate for rate in (long, short) if rate is not None]
        # One calm window is enough: the long one remembers an outage for days.
        is_back = min(rates) < calm if rates else None
        return cls(burnt, (long, short), is_true, is_back)

    def say(self, spec: TriggerSpec) -> str:
        """Return one sentence with the numbers."""
        budget, metric = spec.budget, spec.measured
        bad, total = self.burnt.long
        in_long = _named(self.burnt.long_seconds)
        in_short = _named(self.burnt.short_seconds)
        what = f"{metric.name} of {spec.of}"
        if self.is_true is None:
            return (f"{what}: {total} of at least {spec.min_samples} requests in {in_long}, "
                    f"{self.burnt.short[1]} in {in_short}")
        long, short = self.rates[0] or 0.0, self.rates[1] or 0.0
        goal = f"{budget.objective * 100:g} %" if budget else ""
        return (f"{what} {_shown(metric, bad, total)} in {total} requests "
                f"burns the budget of {goal} {long:.1f} times as fast as allowed in {in_long} and "
                f"{short:.1f} times in {in_short} (bound {self.burnt.burn:g})")

    def document(self) -> dict[str, float | int | None]:
        """Return it for the evidence of a firing."""
        burnt = self.burnt
        bad, total = burnt.long
        short_bad, short_total = burnt.short
        return {
            "long_seconds": burnt.long_seconds, "short_seconds": burnt.short_seconds,
            "burn": burnt.burn, "long_burn": self.rates[0], "short_burn": self.rates[1],
            "bad": bad, "requests": total,
            "short_bad": short_bad, "short_requests": short_total,
        }


def _badness(pair: _Pair) -> tuple[bool, float]:
    """Return by what the worst pair is found: one that is true, then the faster one."""
    return pair.is_true is True, pair.rates[0] or 0.0


def _rate(counts: tuple[int, int], allowed: float) -> float | None:
    """Return how fast (bad, all) burn a budget; None without requests."""
    bad, total = counts
    return bad / total / allowed if total else None


def _named(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


def _shown(metric: Metric, bad: int, total: int) -> str:
    return format_value(metric, bad / total if total else None)

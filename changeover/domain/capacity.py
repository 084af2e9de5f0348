"""Whether the baseline can take everyone: what it was measured to bear, and what arrives. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from changeover.domain.time_words import in_words
from changeover.plan.model import Plan
from changeover.plan.units import format_duration, format_number

HEADROOM = 0.2
"""A load suite is no real traffic: this share more than arrives must have been borne."""
KEEPS_UP = 0.95
"""A rate was borne when this share of what was offered was answered well."""
HEALTHY = 0.01
"""Share of failed requests up to which a system answers healthily."""
KNOWN_FOR = timedelta(days=30)
"""What was measured longer ago says nothing of the system of today."""
PEAK_OF = timedelta(hours=24)
"""What arrives is the busiest minute of this time: a day has quiet hours."""
SMALLER = "the baseline smaller"
STILL_FITS = "rolling back would still fit"
HOW_TO_MEASURE = ("measure it with a suite that has `{kind: load, rates: [...]}`: "
                  "`changeover validate SUITE`")


class Fit(StrEnum):
    """Whether rolling back would fit."""

    FITS = "fits"
    DOES_NOT = "does_not"
    UNKNOWN = "unknown"  # nobody measured enough to say


@dataclass(frozen=True, slots=True)
class Measured:
    """What the baseline was seen to bear: at least so many requests per second.

    Args:
        per_second: Requests per second that it answered healthily.
        at: When.
        suite: The suite with the load check; empty: observed, with users' requests.
    """

    per_second: float
    at: datetime
    suite: str = ""

    def text(self, now: datetime) -> str:
        """Return it for people."""
        age = in_words((now - self.at).total_seconds())
        if self.suite:
            return f"The baseline was last measured at {_rate(self.per_second)} " \
                f"(load of suite {self.suite}, {age} ago)"
        return f"The baseline was last seen to answer {_rate(self.per_second)} healthily " \
            f"(busiest minute, {age} ago)"


@dataclass(frozen=True, slots=True)
class Shrink:
    """A lever made the baseline smaller, or will.

    Args:
        lever: Its name.
        leaves: Share of the baseline's capacity that it leaves; None: the plan does not say.
        at: When it was pulled; None: it is yet to be.
    """

    lever: str
    leaves: float | None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Whether rolling back would fit, with the numbers and one sentence.

    Args:
        fit: Whether it would.
        text: One sentence for people.
        capacity: Requests per second that the baseline bears; None: not known.
        arriving: Requests per second of both systems in the busiest minute; None: not known.
    """

    fit: Fit
    text: str
    capacity: float | None = None
    arriving: float | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {"fit": str(self.fit), "text": self.text, "capacity_per_second": self.capacity,
                "arriving_per_second": self.arriving}


def of_load(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the highest rate that a load check's system bore; None for none.

    Args:
        rows: Its evidence for each rate: `rate`, `answered_per_second`, `sent`, `failed`.
    """
    borne = []
    for row in rows:
        is_kept_up = row["answered_per_second"] >= KEEPS_UP * row["rate"]
        if is_kept_up and row["failed"] <= HEALTHY * row["sent"]:
            borne.append(float(row["rate"]))
    return max(borne, default=None)


def shrinking(plan: Plan, names: Iterable[str]) -> tuple[Shrink, ...]:
    """Return which of some levers make the baseline smaller."""
    found = []
    for name in names:
        lever = plan.levers.get(name)
        if lever is not None and lever.shrinks is not None:
            found.append(Shrink(name, lever.leaves))
    return tuple(found)


def shrinking_after(plan: Plan, key: str) -> tuple[Shrink, ...]:
    """Return what makes the baseline smaller when a stage is promoted, before the next question."""
    stages = plan.stages()
    stage = plan.stage(key)
    names = [hook.lever for hook in stage.hooks.after if hook.lever]
    if stage.index + 1 < len(stages):
        following = stages[stage.index + 1]
        names += [hook.lever for hook in following.hooks.before if hook.lever]
    elif plan.cutover.final is not None:
        names += plan.cutover.final.levers
    return shrinking(plan, names)


def in_effect(
    plan: Plan, pulled: Iterable[tuple[str, datetime, bool]]
) -> tuple[Shrink, ...]:
    """Return what made the baseline smaller and was not undone.

    A lever that failed may have acted; one that was to undo it and failed may not have.

    Args:
        plan: The migration's plan.
        pulled: Levers in the order in which they were pulled: name, when, whether it worked.
    """
    undone = undone_by(plan)
    found: dict[str, Shrink] = {}
    for name, at, is_done in pulled:
        for each in shrinking(plan, (name,)):
            found[name] = Shrink(name, each.leaves, at)
        for shrunk in undone.get(name, ()) if is_done else ():
            found.pop(shrunk, None)
    return tuple(found.values())


def undone_by(plan: Plan) -> dict[str, set[str]]:
    """Return which levers each lever undoes, by what the plan says of hooks and the end."""
    found: dict[str, set[str]] = {}
    for stage in plan.stages():
        for hook in (*stage.hooks.before, *stage.hooks.after):
            if hook.lever is not None and hook.undone_by:
                found.setdefault(hook.undone_by, set()).add(hook.lever)
    disabling = plan.cutover.disable_baseline
    if disabling is not None:
        # all of them together bring it back: the last one is the end of that
        found.setdefault(disabling.undo[-1], set()).update(disabling.levers)
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when it is asked whether rolling back would fit.

    Args:
        load: The newest result of a load suite.
        observed: The busiest minute that the baseline answered healthily.
        arriving: Requests per second of both systems in the busiest minute of late; None: unknown.
        shrunk: What made the baseline smaller since.
        now: The present moment.
    """

    load: Measured | None
    observed: Measured | None
    arriving: float | None
    shrunk: tuple[Shrink, ...]
    now: datetime


def judge(known: Known, coming: Sequence[Shrink] = ()) -> Room:
    """Return whether rolling back would fit, also after what is yet to make the baseline smaller.

    A measurement of a load suite must be above what arrives by some headroom. What was observed is
    the users' own traffic and needs none, but more than that is not known to be too much.
    """
    base = _newest(known)
    if base is None:
        return _unknown(known, coming, "nobody has measured what the baseline bears")
    before = [each for each in known.shrunk if each.at is not None and each.at > base.at]
    smaller = [*before, *coming]
    unsaid = [each.lever for each in smaller if each.leaves is None]
    if unsaid:
        why = f"how much of that `{unsaid[0]}` leaves is not known: {_say_it(unsaid[0], before)}"
        return _unknown(known, coming, why, base)
    capacity, parts = base.per_second, [base.text(known.now)]
    for each in smaller:
        capacity *= each.leaves or 0.0
        parts.append(f"`{each.lever}` {'leaves' if each in coming else 'left'} "
                     f"{100 * (each.leaves or 0.0):g} % of it, {_rate(capacity)}")
    if known.arriving is None:
        return _unknown(known, coming, "nobody has counted what arrives in all", base)
    needed = known.arriving * (1 + HEADROOM) if base.suite else known.arriving
    with_headroom = ""
    if base.suite:
        with_headroom = f", {format_number(needed)}/s with {HEADROOM:.0%} headroom"
    parts.append(f"now {format_number(known.arriving)}/s arrive in all at the busiest minute of "
                 f"{format_duration(PEAK_OF)}{with_headroom}")
    fit, outcome = Fit.DOES_NOT, "rolling back would NOT fit"
    if needed <= capacity:
        fit, outcome = Fit.FITS, STILL_FITS
    elif not base.suite and not smaller:
        fit = Fit.UNKNOWN
        outcome = f"whether rolling back would fit is not known; {HOW_TO_MEASURE}"
    return Room(fit, f"{_opening(coming)}{'; '.join(parts)}: {outcome}", capacity, known.arriving)


def _newest(known: Known) -> Measured | None:
    """Return the measurement that counts: the newest of a load suite, unless users asked more."""
    found = [each for each in (known.load, known.observed)
             if each is not None and known.now - each.at <= KNOWN_FOR]
    pulled = [each.at for each in known.shrunk if each.at is not None]
    # what was measured since the baseline has its present size comes first
    fresh = [each for each in found if not pulled or each.at > max(pulled)]
    return max(fresh or found, key=lambda each: each.per_second, default=None)


def _unknown(
    known: Known, coming: Sequence[Shrink], why: str, base: Measured | None = None
) -> Room:
    said = f"{base.text(known.now)}, but {why}" if base else f"{why[0].upper()}{why[1:]}"
    remedy = "" if "`leaves`" in why else f"; {HOW_TO_MEASURE}"
    text = f"{_opening(coming)}{said}: whether rolling back would fit is not known{remedy}"
    return Room(Fit.UNKNOWN, text, None, known.arriving)


def _opening(coming: Sequence[Shrink]) -> str:
    return f"{smaller_text(coming)}. " if coming else ""


def smaller_text(coming: Sequence[Shrink]) -> str:
    """Return that levers make the baseline smaller."""
    names = ", ".join(f"`{each.lever}`" for each in coming)
    verb = "makes" if len(coming) == 1 else "make"
    return f"{names} {verb} {SMALLER}"


def _say_it(lever: str, before: Sequence[Shrink]) -> str:
    say = f"say it in the plan (`levers.{lever}` with `leaves`, as 50%)"
    is_done = any(each.lever == lever for each in before)
    return f"{say}, or {HOW_TO_MEASURE}" if is_done else say


def _rate(per_second: float) -> str:
    return f"{format_number(per_second)} requests/s"

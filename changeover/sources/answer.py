"""From what a source answered to a number that a check can use, or to the reason why not. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from changeover.domain.readings import stale
from changeover.plan.sources import AnyMetric

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
LONGEST_SHOWN = 80
CLOCKS_DIFFER = timedelta(seconds=30)
"""A value may be so much newer than our clock: two machines' clocks are never the same."""


class NoAnswer(Exception):
    """A source gave nothing that can be used; the text says why, without credentials.

    Args:
        problem: Why, as the end of a sentence: `it answered 503`.
        is_passing: Whether another attempt may help.
    """

    def __init__(self, problem: str, *, is_passing: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.is_passing = problem, is_passing


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source said, as it said it.

    Args:
        value: The value.
        samples: How many samples stand behind it; None: the plan does not ask.
        at: When it was measured; None: nobody knows.
    """

    value: object
    samples: object = None
    at: object = None


@dataclass(frozen=True, slots=True)
class Usable:
    """A value in base units, with the samples behind it and the moment that it is of."""

    value: float
    samples: int
    at: datetime | None


def read(answer: Answer, metric: AnyMetric, *, now: datetime, max_age: timedelta) -> Usable:
    """Return a usable value.

    Args:
        answer: What the source said.
        metric: What the plan says of the metric.
        now: When it said so.
        max_age: What is older is stale.

    Raises:
        NoAnswer: It is no number, not a finite one, none of its unit, or too old.
    """
    value = number(answer.value, "the value") * metric.factor
    if math.isinf(value):
        raise NoAnswer("the value is infinite when it is multiplied by its factor")
    if metric.unit == "share" and not 0 <= value <= 1:
        raise NoAnswer(f"{value:.6g} is no share: shares are 0 to 1, and 1 % is 0.01; mend the "
                       "query, or give `factor`")
    if metric.unit != "number" and value < 0:
        raise NoAnswer(f"{value:.6g} is no {metric.unit}: it is negative")
    samples = 1
    if metric.is_counted:
        # a rate over time gives parts of samples
        samples = int(number(answer.samples, "the number of samples"))
        if samples < 0:
            raise NoAnswer(f"the number of samples is negative: {samples}")
    is_asked = getattr(metric, "at", None) is not None
    at = moment(answer.at) if is_asked or answer.at is not None else None
    if at is not None and now - at > max_age:
        raise NoAnswer(stale(at, now - at, max_age))
    if at is not None and at - now > CLOCKS_DIFFER:
        raise NoAnswer(f"it says that it was measured at {at:%Y-%m-%d %H:%M:%S} UTC, which is yet "
                       "to come; compare the clocks")
    return Usable(value, samples, at)


def number(found: object, what: str) -> float:
    """Return a finite number.

    Raises:
        NoAnswer: It is empty, no number, or not a finite one.
    """
    if found is None or (isinstance(found, str) and not found.strip()):
        raise NoAnswer(f"{what} is empty")
    is_text = isinstance(found, str) and _NUMBER.fullmatch(found.strip())
    is_number = isinstance(found, int | float | Decimal) and not isinstance(found, bool)
    if not (is_text or is_number):
        raise NoAnswer(f"{what} is no number: {shown(found)}")
    try:
        value = float(found)  # type: ignore[arg-type]
    except OverflowError:
        raise NoAnswer(f"{what} is beyond all numbers: {shown(found)}") from None
    except ValueError:  # databases have a NaN that cannot be converted
        raise NoAnswer(f"{what} is no number: {shown(found)}") from None
    if math.isnan(value):
        raise NoAnswer(f"{what} is NaN, such as 0 divided by 0")
    if math.isinf(value):
        raise NoAnswer(f"{what} is infinite")
    return value


def moment(found: object) -> datetime:
    """Return when something was measured; a time without a zone is UTC.

    Raises:
        NoAnswer: It is neither Unix seconds nor a time.
    """
    if isinstance(found, date) and not isinstance(found, datetime):
        raise NoAnswer(f"the time of measurement is only a day: {found}")
    if isinstance(found, str) and not _NUMBER.fullmatch(found.strip()):
        try:
            found = datetime.fromisoformat(found.strip())
        except ValueError:
            raise NoAnswer(f"the time of measurement is no time: {shown(found)}") from None
    if isinstance(found, datetime):
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    seconds = number(found, "the time of measurement")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise NoAnswer(f"the time of measurement is no time: {shown(found)}") from None


def shown(found: object) -> str:
    """Return what was found, cut to one short line."""
    text = " ".join(repr(found).split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN - 1]}…"

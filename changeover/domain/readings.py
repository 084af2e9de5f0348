"""What external sources are asked, and what they said. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Question:
    """One value of one system that a source is asked for.

    Args:
        metric: The metric's name in conditions: `external.failed_payments`.
        system: `baseline` or `candidate`.
        segment: The segment of users; None: all of them.
        window: Length of the window that ends now, in whole seconds.
    """

    metric: str
    system: str
    segment: str | None
    window: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source said, or why it said nothing that can be used.

    Args:
        question: What was asked for.
        source: The source's name in the plan.
        query: What it was asked, with what stood for the placeholders; never a credential.
        asked_at: When it was asked.
        answered_at: When it had answered, or was given up.
        value: The value in base units; None when there is none that can be used.
        samples: How many samples stand behind it; 1 where the source does not say.
        measured_at: When it was measured, by the source's own word; None: now.
        problem: Why there is no value; empty when there is one.
    """

    question: Question
    source: str
    query: str
    asked_at: datetime
    answered_at: datetime
    value: float | None = None
    samples: int = 0
    measured_at: datetime | None = None
    problem: str = ""

    @property
    def of(self) -> datetime:
        """The moment that the value is of."""
        return self.measured_at or self.asked_at

    def at(self, now: datetime, max_age: timedelta) -> Reading:
        """Return the reading as it is worth at a moment: a value that is too old is none."""
        age = now - self.of
        # a value of the future (two clocks) is as good as one of now
        if self.problem or age <= max_age:
            return self
        return replace(self, value=None, samples=0, problem=stale(self.of, age, max_age))

    def after(self, began: datetime) -> Reading:
        """Return the reading as it is worth for what began at a moment."""
        if self.problem or self.of >= began:
            return self
        problem = (f"its value is of {self.of:%H:%M:%S} UTC, before users were moved at "
                   f"{began:%H:%M:%S} UTC")
        return replace(self, value=None, samples=0, problem=problem)

    def as_evidence(self) -> dict[str, Any]:
        """Return what is stored of it; times in ISO form."""
        return {
            "system": self.question.system, "segment": self.question.segment,
            "window_seconds": self.question.window, "source": self.source, "query": self.query,
            "asked_at": self.asked_at.isoformat(), "answered_at": self.answered_at.isoformat(),
            "measured_at": self.measured_at and self.measured_at.isoformat(),
            "value": self.value, "samples": self.samples, "problem": self.problem,
        }


def stale(of: datetime, age: timedelta, max_age: timedelta) -> str:
    """Return the sentence about a value that is too old."""
    return (f"its value is stale: it is of {of:%H:%M:%S} UTC, {age.total_seconds():.0f} s ago, and "
            f"max_age is {max_age.total_seconds():.0f} s")


def reading_of(metric: str, stored: Mapping[str, Any]) -> Reading:
    """Return a reading from what was stored of it."""
    measured = stored["measured_at"]
    return Reading(
        Question(metric, stored["system"], stored["segment"], stored["window_seconds"]),
        stored["source"], stored["query"],
        datetime.fromisoformat(stored["asked_at"]), datetime.fromisoformat(stored["answered_at"]),
        stored["value"], stored["samples"],
        datetime.fromisoformat(measured) if measured else None, stored["problem"])

"""How reports write numbers, times and words for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from changeover.domain.event_words import one_line as one_line
from changeover.domain.time_words import exact
from changeover.plan.metrics import METRICS, Unit, format_value, metric_of
from changeover.plan.units import format_number, format_percent, format_size

SIGNS = {
    "pass": "✓", "fail": "✗", "inconclusive": "?", "promoted": "✓", "rolled_back": "↩",
    "soaking": "●", "waiting": "?", "to_come": "○", "unfinished": "–", "running": "●",
    "begun": "●", "failed": "✗", "none": "○", "done": "✓", "completed": "✓", "needs_person": "!",
    "plain": "·", "good": "✓", "warn": "!", "bad": "✗", "asks people": "?",
}
"""The sign before each status, so that nothing is shown by colour alone."""

WORDS = {
    "rolled_back": "rolled back", "to_come": "to come", "needs_person": "needs a person",
    "waiting": "waiting for approval", "unfinished": "not decided",
}

duration = exact
"""A time span in its two largest units: `4 min 12 s`."""


def status(value: str) -> str:
    """Return a status with its sign, for instance `✓ promoted`."""
    return f"{SIGNS.get(value, '·')} {WORDS.get(value, value)}"


def count(value: int) -> str:
    """Return a whole number with thin spaces between thousands: `48 210`."""
    return f"{value:,}".replace(",", "\u202f")


def counted(value: int, noun: str) -> str:
    """Return a number with its noun: `1 request`, `2 requests`."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def milliseconds(seconds: float | None) -> str:
    """Return a short time: `12.5 ms`, or `no data`."""
    return format_value(METRICS["latency_p95"], seconds)


def share(value: float | None) -> str:
    """Return a share 0..1 as a percentage: `0.300 %`, or `no data`."""
    return format_value(METRICS["error_rate"], value)


def size(value: float | None) -> str:
    """Return a number of bytes: `412 MB`, or `no data`."""
    return "no data" if value is None else format_size(value)


def number(value: float | None) -> str:
    """Return a plain number with at most four digits, or `no data`."""
    return "no data" if value is None else format_number(value)


def metric(name: object, value: float | None, unit: Unit | None = None) -> str:
    """Return the value of a metric of the catalogue; an unknown metric's as a plain number.

    Args:
        name: The metric's name.
        value: Its value in base units.
        unit: An external metric's unit, which the catalogue does not know.
    """
    known = str(name) in METRICS
    return format_value(metric_of(str(name), unit), value) if known else number(value)


def metric_words(name: object) -> str:
    """Return a metric's name for people; of an unknown metric the name itself."""
    return METRICS[str(name)].words if str(name) in METRICS else str(name)


def percent(weight: int) -> str:
    """Return buckets as a percentage of users: `25 %`."""
    return format_percent(weight)


def audience(weight: int, segments: Iterable[str], routes: Sequence[str] = ()) -> str:
    """Return who is on the candidate: `25 % of users and segment beta`, `no user`; of a stage of
    routes `50 % of users on route orders`.
    """
    if routes:
        return f"{percent(weight)} of users on route {' and '.join(routes)}"
    named = [f"segment {name}" for name in segments]
    if weight >= 10_000:
        return "all users"
    parts = ([f"{percent(weight)} of users"] if weight else []) + named
    return " and ".join(parts) or "no user"


def moment(at: datetime | None) -> str:
    """Return a time with its date: `2026-03-01 12:00:05 UTC`."""
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def clock_time(at: datetime | None) -> str:
    """Return a time of day: `12:00:05`."""
    return "–" if at is None else f"{at:%H:%M:%S}"


def span(start: datetime, end: datetime) -> str:
    """Return a window: `2026-03-01 12:00:05 to 12:00:35 UTC (30 s)`."""
    # the day is said once when both are of the same
    last = f"{end:%H:%M:%S}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M:%S}"
    length = duration((end - start).total_seconds()).replace(" ", "\u00a0")
    return f"{start:%Y-%m-%d %H:%M:%S} to {last} UTC ({length})"


def window(evidence_start: object, evidence_end: object) -> str:
    """Return the window of a check's evidence, whose times are ISO texts."""
    try:
        return span(
            datetime.fromisoformat(str(evidence_start)), datetime.fromisoformat(str(evidence_end))
        )
    except ValueError:
        return "no window"


def markdown(value: object) -> str:
    """Return a text that means nothing to Markdown: safe in a table cell and in a sentence."""
    text = one_line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~])", r"\\\1", text)
    # within a word an underscore means nothing, and escaped it would only be hard to read
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; every cell is escaped."""
    titles = [markdown(title) for title in header]
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    lines += [f"| {' | '.join(markdown(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)

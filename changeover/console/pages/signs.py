"""Signs of life and of health, as pages show them: how each stands, and how old that is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from changeover.domain.health import (
    HealthResult,
    Heartbeat,
    Repair,
    RepairStatus,
    Status,
    patience_with,
)
from changeover.domain.time_words import about

Tone = Literal["pass", "inconclusive", "fail", ""]
"""Of a chip; empty where nothing is known."""
OLD_AFTER = timedelta(minutes=5)
"""A plan's health check runs every minute: what is older says little of now."""
ANSWERING = ("prefect", "gateway")
"""Programs without a sign of life of their own: a health check asks them."""
_TONES: dict[Status, Tone] = {
    Status.HEALTHY: "pass", Status.WARNING: "inconclusive", Status.UNHEALTHY: "fail",
    Status.CRITICAL: "fail", Status.ERROR: "inconclusive"}
_ORDER = list(Status)


@dataclass(frozen=True, slots=True)
class Sign:
    """How something stands.

    Args:
        name: What it is.
        says: One word: `alive`, `silent`, `healthy`.
        tone: Of the word.
        detail: More of it; may be empty.
        seen: How long ago that was, as `3 s ago`.
    """

    name: str
    says: str
    tone: Tone
    detail: str
    seen: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """The newest health check as a whole.

    Args:
        says: The worst status, or `never` before the first check.
        tone: Of that word; none when it is old.
        text: One sentence.
        seen: How long ago; empty before the first.
        is_old: Whether it says little of now.
    """

    says: str
    tone: Tone
    text: str
    seen: str
    is_old: bool


def services(
    beats: Iterable[Heartbeat], results: Sequence[HealthResult], now: datetime
) -> list[Sign]:
    """Return the services by their last sign of life, then what a health check had to ask."""
    found = []
    for beat in sorted(beats, key=lambda each: each.service):
        age = max(timedelta(0), now - beat.at)
        is_alive = age <= patience_with(beat.service)
        says: tuple[str, Tone] = ("alive", "pass") if is_alive else ("silent", "fail")
        found.append(Sign(beat.service, *says, beat.detail, f"{about(age)} ago"))
    for result in results:
        if result.check in ANSWERING:
            found.append(check(result, now))
    return found


def check(result: HealthResult, now: datetime) -> Sign:
    """Return a health check's result; an old one has no tone."""
    age = max(timedelta(0), now - result.at)
    tone = "" if age > OLD_AFTER else _TONES[result.status]
    return Sign(result.check, str(result.status), tone, result.detail, f"{about(age)} ago")


def checkup(results: Sequence[HealthResult], now: datetime) -> Checkup:
    """Return the newest health check in one word and one sentence: the worst result counts."""
    if not results:
        return Checkup("never", "", "No health check has run yet.", "", is_old=False)
    worst = max((each.status for each in results), key=_ORDER.index)
    healthy = sum(each.status is Status.HEALTHY for each in results)
    age = max(timedelta(0), now - results[0].at)
    is_old = age > OLD_AFTER
    text = f"{healthy} of {len(results)} checks are healthy"
    return Checkup(
        str(worst), "" if is_old else _TONES[worst], text, f"{about(age)} ago", is_old)


def worst_first(results: Iterable[HealthResult], now: datetime) -> list[Sign]:
    """Return the results of a health check, those that need somebody first."""
    ordered = sorted(results, key=lambda each: (-_ORDER.index(each.status), each.check))
    return [check(each, now) for each in ordered]


def repairs(known: Iterable[Repair]) -> list[tuple[Repair, Tone]]:
    """Return attempts to repair with their tones, the newest first."""
    tones: dict[RepairStatus, Tone] = {
        RepairStatus.DONE: "pass", RepairStatus.FAILED: "fail",
        RepairStatus.RUNNING: "inconclusive"}
    ordered = sorted(known, key=lambda each: each.id, reverse=True)
    return [(each, tones[RepairStatus(each.status)]) for each in ordered]


def counted(
    counts: Mapping[str, Mapping[str, int]], totals: Mapping[str, int]
) -> list[tuple[str, list[str]]]:
    """Return how often each kind of thing happened, with its share, the most frequent first.

    Args:
        counts: By system, the number of each kind.
        totals: By system, of how many.

    Returns:
        Each kind, and for each system `12 (0.31 %)` or, where there was nothing at all, `no data`.
    """
    together: dict[str, int] = {}
    for each in counts.values():
        for kind, number in each.items():
            together[kind] = together.get(kind, 0) + number
    rows = []
    for kind in sorted(together, key=lambda each: (-together[each], each)):
        cells = []
        for system, total in totals.items():
            cells.append(_of_all(counts.get(system, {}).get(kind, 0), total))
        rows.append((kind, cells))
    return rows


def _of_all(number: int, total: int) -> str:
    if not total:
        return "no data"
    return f"{number} ({100 * number / total:.2f} %)"

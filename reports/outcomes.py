"""What applications reported, by system and segment, for pages and tables. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from changeover.analysis.window import Window
from changeover.domain.routing import System
from changeover.plan.metrics import METRICS, QUALITY, format_value
from reports import text

HEAD = ("System", "Users", "Outcomes", "Without success", "Mean", "p50", "p95", "Quality (means)")


@dataclass(frozen=True, slots=True)
class OutcomeFigures:
    """The outcomes of one system: of all users, or of one segment.

    Args:
        system: `baseline` or `candidate`.
        segment: Name of the segment; empty for all users.
        outcomes: How many were reported.
        error_rate: Share of them without success.
        duration_mean_seconds: Mean duration; None when none was reported.
        duration_p50_seconds: Median duration; None when none was reported.
        duration_p95_seconds: 95 % stay within.
        quality: Mean of each quality number.
    """

    system: str
    segment: str
    outcomes: int
    error_rate: float | None
    duration_mean_seconds: float | None
    duration_p50_seconds: float | None
    duration_p95_seconds: float | None
    quality: dict[str, float]


def figures(system: str, segment: str, window: Window) -> OutcomeFigures:
    """Return what a window has of the outcomes of one system and segment."""
    means = {}
    for name, (number, total) in sorted(window.quality.items()):
        means[name] = total / number
    return OutcomeFigures(
        system=system, segment=segment, outcomes=window.outcomes,
        error_rate=window.measure("outcome_error_rate").value,
        duration_mean_seconds=window.measure("outcome_duration_mean").value,
        duration_p50_seconds=window.measure("outcome_duration_p50").value,
        duration_p95_seconds=window.measure("outcome_duration_p95").value, quality=means)


def cells(figures: OutcomeFigures) -> tuple[str, ...]:
    """Return one row of the table."""
    quality = ", ".join(
        f"{name} {format_value(METRICS[QUALITY + name], value)}"
        for name, value in figures.quality.items())
    return (
        figures.system, figures.segment or "all", text.count(figures.outcomes),
        text.metric("outcome_error_rate", figures.error_rate),
        text.metric("outcome_duration_mean", figures.duration_mean_seconds),
        text.metric("outcome_duration_p50", figures.duration_p50_seconds),
        text.metric("outcome_duration_p95", figures.duration_p95_seconds), quality or "–",
    )


def rows(found: Sequence[OutcomeFigures]) -> list[tuple[str, ...]]:
    """Return the table: each system and segment, and by how much the candidate is better."""
    table = [cells(each) for each in found]
    whole = {each.system: each for each in found if not each.segment}
    if System.BASELINE in whole and System.CANDIDATE in whole:
        table.append(_better(whole[System.BASELINE], whole[System.CANDIDATE]))
    return table


def _better(old: OutcomeFigures, new: OutcomeFigures) -> tuple[str, ...]:
    """Return the row with the differences, above 0 where the candidate is better."""
    def saved(before: float | None, after: float | None, unit: str, factor: float = 1) -> str:
        return "–" if before is None or after is None else f"{(before - after) * factor:+.3g}{unit}"

    shared = sorted(set(old.quality) & set(new.quality))
    gains = [f"{name} {new.quality[name] - old.quality[name]:+.3g}" for name in shared]
    return (
        "candidate is better by", "all", "", saved(old.error_rate, new.error_rate, " points", 100),
        saved(old.duration_mean_seconds, new.duration_mean_seconds, " s"),
        saved(old.duration_p50_seconds, new.duration_p50_seconds, " s"),
        saved(old.duration_p95_seconds, new.duration_p95_seconds, " s"),
        ", ".join(gains) or "–")


def as_markdown(found: Sequence[OutcomeFigures]) -> str:
    """Return the table as Markdown."""
    return text.markdown_table(HEAD, rows(found))

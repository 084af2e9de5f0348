"""The cells that HTML and Markdown share, as plain texts with units. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from changeover.domain.procedures import Step
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.rollout import Approval, GateVerdict
from reports import text
from reports.model import Figures, Moment, ReportData


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of figures: its label, what it means, one value for each system."""

    label: str
    meaning: str
    values: tuple[str, ...]


def summary_rows(data: ReportData) -> list[tuple[str, str]]:
    """Return what users noticed, as (label, value)."""
    outage = data.outage
    rough = "" if outage.resolution_seconds == 1 else (
        f" (in spans of {text.duration(outage.resolution_seconds)}: seconds are no longer kept)"
    )
    well = None if not outage.requests else 1 - outage.user_errors / outage.requests
    return [
        ("requests of users", text.count(outage.requests)),
        ("errors that users saw", text.count(outage.user_errors)),
        ("answered well", text.share(well)),
        ("downtime", text.duration(outage.down_seconds) + rough),
        ("time with any user-visible error", text.duration(outage.seconds_with_errors) + rough),
        ("refused by the gateway itself", refused_text(data.figures)),
    ]


def refused_text(figures: Sequence[Figures]) -> str:
    """Return how many requests no system was asked, with Envoy's words for the reasons."""
    refused = (figures[0].refused if figures else None) or {}
    if not refused:
        return "0"
    reasons = ", ".join(f"{name} {text.count(refused[name])}" for name in sorted(refused))
    return (f"{text.count(sum(refused.values()))} of "
            f"{text.counted(figures[0].arrived, 'request')}: {reasons}")


def figure_rows(figures: Sequence[Figures]) -> list[Row]:
    """Return the table of figures: a row for each number, a value for each system."""
    classes = sorted({name for column in figures for name in column.errors or {}})
    return [
        Row("requests", "meant for the system, also those that the other one saved",
            tuple(text.count(f.requests) for f in figures)),
        Row("failed by the system", "also those that users did not notice",
            tuple(f"{text.count(_failed(f))} ({text.share(f.error_rate)})" for f in figures)),
        *(Row(f"· {text.ERROR_CLASSES.get(name, name)}", "",
              tuple(text.count((f.errors or {}).get(name, 0)) for f in figures))
          for name in classes),
        Row("seen by users", "5xx or no answer", tuple(text.count(f.user_errors) for f in figures)),
        Row("answered 4xx", "not the system's failure",
            tuple(text.count(f.client_errors) for f in figures)),
        Row("answered 3xx", "without 304", tuple(text.count(f.redirects) for f in figures)),
        Row("empty answers", "2xx to GET without a body",
            tuple(f"{text.count(f.empty_answers)} of {text.count(f.answers)}" for f in figures)),
        Row("mean answer", "2xx to GET, as it is sent",
            tuple(text.size(f.answer_bytes // f.answers if f.answers else None)
                  for f in figures)),
        Row("p50 latency", "as users felt it",
            tuple(text.milliseconds(f.latency_p50_seconds) for f in figures)),
        Row("p95 latency", "", tuple(text.milliseconds(f.latency_p95_seconds) for f in figures)),
        Row("p99 latency", "", tuple(text.milliseconds(f.latency_p99_seconds) for f in figures)),
        Row("health probes answered", "", tuple(_up(f) for f in figures)),
        Row("highest memory", "of its processes", tuple(text.size(f.memory_bytes)
                                                       for f in figures)),
        Row("mean CPU", "cores", tuple(text.number(f.cpu_cores) for f in figures)),
    ]


def approval_cells(approval: Approval) -> tuple[str, ...]:
    """Return round, asked, answered, decision, approver, comment, source."""
    decision = approval.decision or "not answered"
    if approval.is_void:
        decision = f"{approval.decision or 'question'} (void: a rollback came first)"
    return (
        f"{approval.round}.{approval.ordinal}",
        text.moment(approval.asked_at),
        text.moment(approval.answered_at),
        decision,
        approval.approver or "–",
        text.one_line(approval.comment) or "–",
        approval.source or "–",
    )


def firing_cells(firing: TriggerFiring) -> tuple[str, ...]:
    """Return trigger, action, reason, evidence complete, time to the gateway's confirmation."""
    return (
        firing.trigger,
        firing.action,
        text.one_line(firing.reason),
        text.moment(firing.evidence_complete_at),
        "–" if firing.published_at is None else text.duration(
            (firing.published_at - firing.evidence_complete_at).total_seconds()
        ),
    )


def step_cells(step: Step) -> tuple[str, ...]:
    """Return step, state, detail, took."""
    return (
        f"{step.number} {step.name}",
        text.status(step.status),
        text.one_line(step.detail),
        text.duration((step.ended_at - step.started_at).total_seconds()),
    )


def publication_summary(publications: Sequence[Publication]) -> str:
    """Return how many publications were confirmed and how long that took."""
    if not publications:
        return "Nothing was published to the gateway."
    confirmed = [publication.seconds for publication in publications if publication.is_confirmed]
    told = f"{len(confirmed)} of {text.counted(len(publications), 'publication')} confirmed"
    if not confirmed:
        return f"{told}."
    return (f"{told}: median {median(confirmed) * 1000:.1f} ms, "
            f"longest {max(confirmed) * 1000:.1f} ms.")


def publication_cells(publication: Publication) -> tuple[str, ...]:
    """Return version, time, confirmed, took, error."""
    return (
        f"{publication.epoch}.{publication.version}",
        text.moment(publication.at),
        "✓ yes" if publication.is_confirmed else "✗ no",
        f"{publication.seconds * 1000:.1f} ms",
        text.one_line(publication.error) or "–",
    )


def timeline_cells(moment: Moment) -> tuple[str, ...]:
    """Return time, sign, what, by whom, detail."""
    times = f" ({moment.count} times)" if moment.count > 1 else ""
    return (
        f"{moment.at:%Y-%m-%d %H:%M:%S}", text.SIGNS[moment.tone], f"{moment.title}{times}",
        moment.actor, moment.detail,
    )


def _failed(figures: Figures) -> int:
    return sum((figures.errors or {}).values())


def _up(figures: Figures) -> str:
    share = "no data" if figures.up is None else f"{figures.up * 100:.4g} %"
    return f"{share} of {text.count(figures.probes)}" if figures.probes else share


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the few numbers at the top of the page."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Looks:
    """A stage's looks at its gates: the deciding ones, some earlier ones, how many are left out."""

    deciding: tuple[GateVerdict, ...]
    earlier: tuple[GateVerdict, ...]
    left_out: int


def tiles(data: ReportData) -> list[Tile]:
    """Return the numbers that a reader wants first."""
    outage = data.outage
    shown = [
        Tile("errors that users saw", text.count(outage.user_errors),
             f"of {text.counted(outage.requests, 'request')}"),
        Tile("downtime", text.duration(outage.down_seconds),
             f"{text.duration(outage.seconds_with_errors)} with any user-visible error"),
    ]
    by_system = {figures.system: figures for figures in data.figures}
    candidate, baseline = by_system.get("candidate"), by_system.get("baseline")
    if candidate and baseline:
        shown += [
            Tile("failed by the candidate", text.share(candidate.error_rate),
                 f"baseline {text.share(baseline.error_rate)}"),
            Tile("p95 of the candidate", text.milliseconds(candidate.latency_p95_seconds),
                 f"baseline {text.milliseconds(baseline.latency_p95_seconds)}"),
            Tile("p99 of the candidate", text.milliseconds(candidate.latency_p99_seconds),
                 f"baseline {text.milliseconds(baseline.latency_p99_seconds)}"),
        ]
    return shown


def split_looks(looks: Sequence[GateVerdict], most: int = 10) -> Looks:
    """Return the newest look of each gate and round, and at most `most` of those before them.

    The JSON report has all of them.
    """
    newest = {(look.gate, look.round): look.id for look in looks}
    deciding = tuple(look for look in looks if newest[look.gate, look.round] == look.id)
    earlier = tuple(look for look in looks if newest[look.gate, look.round] != look.id)
    return Looks(deciding, earlier[-most:], max(0, len(earlier) - most))

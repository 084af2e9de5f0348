"""The cells that HTML and Markdown share, as plain texts with units. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from changeover.analysis.error_words import ERROR_WORDS
from changeover.domain.procedures import Step
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import TriggerFiring
from changeover.domain.rollout import Approval, GateVerdict
from changeover.plan.metrics import METRICS, Metric
from changeover.plan.statuses import WITH_STATUS
from reports import text
from reports.model import OF_SYSTEMS, Figures, Keyless, Moment, ReportData
from reports.outcomes import OutcomeFigures
from reports.page import Tile

_NO_ROW = ("error_rate", "server_error_rate", "user_error_rate", *WITH_STATUS)
"""Metrics whose counts stand in the table of figures, so that they need no row of their own."""
_TILES = {"error_rate": "failed by the candidate", "latency_p95": "p95 of the candidate",
          "latency_p99": "p99 of the candidate"}


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
        f" (in spans of {text.duration(outage.resolution_seconds)}: seconds are no longer stored)"
    )
    # without requests nobody can say that all went well
    well = None if not outage.requests else 1 - outage.user_errors / outage.requests
    return [
        ("requests of users", text.count(outage.requests)),
        ("errors that users saw", text.count(outage.user_errors)),
        ("answered well", text.share(well)),
        ("downtime", text.duration(outage.down_seconds) + rough),
        ("time with any user-visible error", text.duration(outage.seconds_with_errors) + rough),
        ("refused by the gateway itself", refused_text(data.figures)),
        ("requests without a key", keyless_text(data.keyless)),
    ]


def keyless_text(found: Keyless | None) -> str:
    """Return how many requests had no key, and what becomes of them."""
    if found is None or not found.requests:
        return "–"
    if not found.keyless:
        return "0"
    return f"{text.count(found.keyless)} ({text.share(found.share)}): {found.fate}"


def refused_text(figures: Sequence[Figures]) -> str:
    """Return how many requests no system was asked, with Envoy's words for the reasons."""
    if not figures or not figures[0].window.refused:
        return "0"
    window = figures[0].window  # the gateway's numbers are the same beside both systems
    reasons = ", ".join(
        f"{name} {text.count(number)}" for name, number in sorted(window.refused.items()))
    refused = text.count(sum(window.refused.values()))
    return f"{refused} of {text.counted(window.arrived, 'request')}: {reasons}"


def figure_rows(figures: Sequence[Figures]) -> list[Row]:
    """Return the table of figures: counts, then every metric; a value for each system."""
    windows = [each.window for each in figures]

    def row(label: str, meaning: str, values: Iterable[str]) -> Row:
        return Row(label, meaning, tuple(values))

    rows = [
        row("requests", "meant for the system, also those that the other one saved",
            (text.count(window.requests) for window in windows)),
        row("failed by the system", "also those that users did not notice",
            (failed_text(each) for each in figures)),
    ]
    kinds: set[str] = set()
    for window in windows:
        kinds |= window.errors.keys()
    for name in sorted(kinds):
        numbers = [text.count(window.errors.get(name, 0)) for window in windows]
        rows.append(row(f"· {ERROR_WORDS.get(name, name)}", "", numbers))
    rows.append(row("seen by users", "5xx or no answer",
                    (text.count(window.user_errors) for window in windows)))
    for metric in METRICS.values():
        if metric.source in OF_SYSTEMS and metric.name not in _NO_ROW:
            # some names say all that there is to say
            meaning = "" if metric.description == metric.words else metric.description
            rows.append(row(metric.words, meaning,
                            (_metric_text(each, metric) for each in figures)))
    return rows


def failed_text(figures: Figures) -> str:
    """Return how many requests a system failed, and which share."""
    return f"{text.count(figures.failed)} ({text.share(figures.value('error_rate'))})"


def _metric_text(figures: Figures, metric: Metric) -> str:
    """Return a metric's value; of a share also of how many."""
    measured = figures.window.measure(metric.name)
    shown = text.metric(metric.name, measured.value)
    is_share = metric.unit == "share" and measured.value is not None
    return f"{shown} of {text.count(measured.samples)}" if is_share else shown


def approval_cells(approval: Approval) -> tuple[str, ...]:
    """Return round, asked, answered, decision, approver, comment, source."""
    decision = approval.decision or "not answered"
    if approval.is_void:
        decision = f"{approval.decision} (void: a rollback came first)"
        # nobody had answered when its stage was left out
        if approval.decision is None:
            decision = "not asked any more"
    return (
        f"{approval.round}.{approval.ordinal}",
        text.moment(approval.asked_at),
        text.moment(approval.answered_at),
        decision,
        approval.approver or "–",
        text.one_line(approval.comment) or "–",
        approval.source or "–",
    )


TRIGGER_HEAD = ("Trigger", "Action", "Stands", "Since", "Value", "Reason")


def trigger_cells(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how a trigger stands, under `TRIGGER_HEAD`."""
    since = datetime.fromisoformat(found["since"]) if found["since"] else None
    stands = f"{found['stands']} (old)" if found["is_old"] else found["stands"]
    return (found["trigger"], found["action"], stands, text.moment(since), found["shown"],
            text.one_line(found["reason"]))


def firing_cells(firing: TriggerFiring) -> tuple[str, ...]:
    """Return trigger, action, reason, evidence complete, time to the gateway's confirmation."""
    took = "–"  # not confirmed yet
    if firing.published_at is not None:
        seconds = (firing.published_at - firing.evidence_complete_at).total_seconds()
        took = text.duration(seconds)
    return (
        firing.trigger,
        firing.did,
        text.one_line(firing.reason),
        text.moment(firing.evidence_complete_at),
        took,
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
    summary = f"{len(confirmed)} of {text.counted(len(publications), 'publication')} confirmed"
    if not confirmed:
        return f"{summary}."
    return (f"{summary}: median {median(confirmed) * 1000:.1f} ms, "
            f"longest {max(confirmed) * 1000:.1f} ms.")


def publication_cells(publication: Publication) -> tuple[str, ...]:
    """Return version, time, confirmed, took, error."""
    return (
        f"{publication.epoch}.{publication.version}",
        text.moment(publication.at),
        "✓ yes" if publication.is_confirmed else "✗ no",
        f"{publication.seconds * 1000:.1f} ms",
        text.one_line(publication.error or publication.nodes) or "–",
    )


def timeline_cells(moment: Moment) -> tuple[str, ...]:
    """Return time, sign, what, by whom, detail."""
    times = f" ({moment.count} times)" if moment.count > 1 else ""
    return (
        f"{moment.at:%Y-%m-%d %H:%M:%S}", text.SIGNS[moment.tone], f"{moment.title}{times}",
        moment.actor, moment.detail,
    )


@dataclass(frozen=True, slots=True)
class Evaluations:
    """How a stage's gates were evaluated: last, some times before, how many are left out."""

    deciding: tuple[GateVerdict, ...]
    earlier: tuple[GateVerdict, ...]
    left_out: int


def tiles(data: ReportData) -> list[Tile]:
    """Return the numbers that a reader wants first."""
    if data.is_by_outcomes:
        return _outcome_tiles(data.outcomes_of_all)
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
        for metric, label in _TILES.items():
            usual = text.metric(metric, baseline.value(metric))
            value = text.metric(metric, candidate.value(metric))
            shown.append(Tile(label, value, f"baseline {usual}"))
    return shown


def _outcome_tiles(found: Mapping[str, OutcomeFigures]) -> list[Tile]:
    """Return the same where users do not come through the gateway: what applications reported."""
    def pair(metric: str, value: Callable[[OutcomeFigures], float | None]) -> tuple[str, str]:
        shown = [text.metric(metric, value(found[system]) if system in found else None)
                 for system in ("candidate", "baseline")]
        return shown[0], f"baseline {shown[1]}"

    total = sum(each.outcomes for each in found.values())
    of_candidate = found["candidate"].outcomes if "candidate" in found else 0
    return [
        Tile("outcomes reported", text.count(total),
             f"{text.count(of_candidate)} of the candidate"),
        Tile("without success", *pair("outcome_error_rate", lambda each: each.error_rate)),
        Tile("mean of the candidate",
             *pair("outcome_duration_mean", lambda each: each.duration_mean_seconds)),
        Tile("p95 of the candidate",
             *pair("outcome_duration_p95", lambda each: each.duration_p95_seconds)),
    ]


def split_evaluations(evaluations: Sequence[GateVerdict], most: int = 10) -> Evaluations:
    """Return the newest evaluation of each gate and round, and at most `most` of those before them.

    The JSON report has all of them.
    """
    # the last one with the same key wins, and evaluations come in order
    newest = {(each.gate, each.round): each.id for each in evaluations}
    deciding: list[GateVerdict] = []
    earlier: list[GateVerdict] = []
    for each in evaluations:
        is_newest = newest[each.gate, each.round] == each.id
        (deciding if is_newest else earlier).append(each)
    left_out = max(0, len(earlier) - most)
    return Evaluations(tuple(deciding), tuple(earlier[-most:]), left_out)

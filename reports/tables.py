"""Short Markdown for the Prefect UI: gate tables, the question to approvers, progress. Pure.

Everything that people or systems wrote is escaped: no pipe, line end or tag of theirs counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.analysis.check_words import (
    asks_people,
    gate_word,
    group_text,
    interval_text,
    outlook_text,
)
from changeover.domain.rollout import CutoverStatus, GateVerdict
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import OnFail
from changeover.plan.subsets import in_words
from reports import text
from reports.model import Figures, Progress, Question, StageStanding, StageView
from reports.sections import failed_text

FIGURE_ROWS = (
    "requests", "failed by the system", "seen by users", "p50", "p95", "p99",
)
LATENCIES = ("latency_p50", "latency_p95", "latency_p99")


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check's evidence, as texts with units.

    `remark` says how sure a verdict by evidence is, and that a check is only shown; or nothing.
    """

    verdict: str
    remark: str
    check: str
    bound: str
    value: str
    baseline: str
    samples: str
    window: str
    reason: str


def check_row(check: Mapping[str, Any]) -> CheckRow:
    """Return the texts of one check's evidence, as `CheckResult.as_evidence` stored it."""
    # what an older version stored may lack a key: a report of it must still be made
    metric, unit = check.get("metric", "?"), (check.get("check") or {}).get("unit")
    own = f"{_count(check.get('samples'))} (at least {_count(check.get('min_samples'))})"
    other = check.get("baseline_samples")
    samples = own if other is None else f"{own}; baseline {_count(other)}"
    return CheckRow(
        verdict=str(check.get("verdict", "?")),
        remark=_remark(check),
        check=f"{text.metric_words(metric)} of {check.get('of', '?')}"
              f"{in_words(check.get('subset'))}",
        bound=str(check.get("bound", "?")),
        value=_value(check, text.metric(metric, check.get("value"), unit)),
        baseline="–" if other is None else text.metric(
            metric, check.get("baseline_value"), unit),
        samples=samples + _left_out(check),
        window=text.window(check.get("window_start"), check.get("window_end")),
        reason=text.one_line(check.get("reason", "")),
    )


def verdict_text(row: CheckRow) -> str:
    """Return a check's verdict with its remark: `✗ fail: harm is shown`."""
    shown = text.status(row.verdict)
    return f"{shown}: {row.remark}" if row.remark else shown


def gate_table_markdown(verdicts: Sequence[GateVerdict]) -> str:
    """Return the newest evaluation of each gate as a table of its checks, with the gate's reason.

    Args:
        verdicts: Evaluations of the gates of one stage, oldest first.
    """
    # oldest first, so the newest of each gate is what stays
    newest = {each.gate: each for each in verdicts}
    if not newest:
        return "No gate has been judged yet."
    parts = []
    for gate, newest_one in newest.items():
        times = sum(each.gate == gate for each in verdicts)
        parts += [_gate_line(newest_one, times), _checks_table(newest_one)]
    return "\n\n".join(parts)


def stage_question_markdown(question: Question) -> str:
    """Return what stands above the approval form: the question, its answers, the evidence."""
    stage, names = question.stage, question.systems
    asked = f"**Leave {text.markdown(stage.title)} of migration {text.markdown(question.migration)}"
    opening = f"{asked} and go on{_to_where(question)}?**"
    audience = text.audience(stage.weight, stage.segments, stage.routes)
    now = (f"{names['candidate']} has had {audience} for "
           f"{text.duration(stage.seconds)}; {names['baseline']} has the others.")
    parts = [
        f"{opening} {text.markdown(question.reason)}.",
        f"{text.markdown(now)}{_ordinal(question)}",
        _answers(question),
        *_warned(question.warnings),
        *([f"**Way back:** {text.markdown(question.way_back)}."] if question.way_back else []),
        f"#### Evidence\n\n{gate_table_markdown(stage.evaluations)}",
        f"#### Traffic in this stage\n\n{figures_markdown(stage.figures)}",
    ]
    return "\n\n".join(parts)


def progress_markdown(progress: Progress, *, report_url: str = "") -> str:
    """Return where a cutover stands: one sentence, the list of stages, the numbers so far.

    Args:
        progress: Where it stands.
        report_url: Address of the full report, if there is one.
    """
    headline = progress.headline
    verb = "Agreed so far:" if headline.status == CutoverStatus.RUNNING else "Decided by"
    who = f" {verb} {', '.join(headline.decided_by)}." if headline.decided_by else ""
    took = "" if headline.seconds is None else f" ({text.duration(headline.seconds)})"
    parts = [
        f"**{text.SIGNS.get(headline.status, '·')} {text.markdown(headline.word)}**{took}: "
        f"{text.markdown(headline.sentence + who)}",
        text.markdown_table(
            ("", "stage", "on the candidate", "soak", "state", "time in it"),
            (_stage_cells(stage) for stage in progress.stages),
        ),
        figures_markdown(progress.figures),
    ]
    # the address comes from the settings: only what is one becomes a link
    if report_url.startswith(("http://", "https://")):
        address = report_url.replace(">", "%3E").replace("<", "%3C").replace(" ", "%20")
        parts.append(f"[Full report](<{address}>)")
    return "\n\n".join(parts)


def figures_markdown(figures: Iterable[Figures]) -> str:
    """Return the numbers of both systems as a table, one column for each system."""
    columns = list(figures)
    if not columns:
        return "Nothing has been measured yet."
    rows = list(zip(FIGURE_ROWS, *(_figure_cells(column) for column in columns), strict=True))
    return text.markdown_table(("", *(f"{c.system} ({c.name})" for c in columns)), rows)


def _figure_cells(figures: Figures) -> tuple[str, ...]:
    window = figures.window
    latencies = [text.milliseconds(figures.value(name)) for name in LATENCIES]
    return (text.count(window.requests), failed_text(figures), text.count(window.user_errors),
            *latencies)


def _stage_cells(stage: StageView) -> tuple[str, ...]:
    sign, word = text.status(stage.status).split(" ", 1)
    if stage.status is StageStanding.SOAKING:
        word = f"soaking until {text.clock_time(stage.soak_until)} UTC"
    if stage.round > 1:
        word = f"{word}, round {stage.round}"
    return (
        sign, stage.title, text.audience(stage.weight, stage.segments, stage.routes),
        text.duration(stage.soak_seconds), word, text.duration(stage.seconds),
    )


def _gate_line(evaluation: GateVerdict, times: int) -> str:
    seen = f" (evaluation {times})" if times > 1 else ""
    word = gate_word(evaluation.verdict, evaluation.evidence)
    return (f"**{text.status(word)}**: gate {text.markdown(evaluation.gate)}{seen}, "
            f"{text.clock_time(evaluation.at)} UTC: {text.markdown(evaluation.reason)}")


def _checks_table(evaluation: GateVerdict) -> str:
    rows = []
    for check in evaluation.evidence:
        row = check_row(check)
        rows.append((verdict_text(row), row.check, row.value, row.bound, row.baseline,
                     row.samples, row.window))
    return text.markdown_table(
        ("verdict", "check", "value", "bound", "baseline", "samples", "window"), rows)


def _value(check: Mapping[str, Any], value: str) -> str:
    """Return a check's value with its interval, where one is known."""
    interval = interval_text(check)
    return f"{value} ({interval})" if interval else value


def _remark(check: Mapping[str, Any]) -> str:
    remarks = ["shown only"] if check.get("on_fail") == OnFail.SHOW else []
    if "sequential" in check:
        remarks.append(_certainty(check.get("verdict"), check["sequential"]))
    if asks_people(check):
        remarks.append("people decide")
    if group := group_text(check):
        remarks.append(group)
    if outlook := outlook_text(check):
        remarks.append(outlook)
    return ", ".join(remarks)


def _certainty(verdict: object, found: Mapping[str, Any]) -> str:
    """Return how sure a verdict is that was reached by evidence."""
    if verdict == Verdict.PASS:
        return "harm beyond the margin is excluded (95 %)"
    if verdict == Verdict.INCONCLUSIVE:
        return "undecided"
    # the plan may call missing data a failure: then there is no harm to speak of
    if "log_worse" in found and found["log_worse"] >= found["log_bar"]:
        return "harm is shown"
    before = found.get("before")
    # a fail stays a fail, although the evidence may have fallen since
    if before and before["log_worse"] >= before["log_bar"]:
        at = datetime.fromisoformat(before["at"])
        return f"harm was shown at {text.clock_time(at)} UTC"
    return "too little data"


def _left_out(check: Mapping[str, Any]) -> str:
    """Return which requests no comparison counts and why, most frequent first; or nothing."""
    excluded = check.get("sequential", {}).get("excluded", {})
    if not excluded:
        return ""
    reasons = sorted(excluded.items(), key=lambda each: (-each[1], each[0]))
    listed = ", ".join(f"{text.count(number)} {why}" for why, number in reasons)
    return f"; left out {text.counted(sum(excluded.values()), 'request')}: {listed}"


def _to_where(question: Question) -> str:
    if question.next_title is None:
        return ", ending the cutover as promoted"
    return f" to {text.markdown(question.next_title)}"


def _ordinal(question: Question) -> str:
    needed = question.stage.approvers
    if needed <= 1:
        return ""
    return (f" This is approval {question.ordinal} of {needed}; "
            "each must come from another person.")


def _answers(question: Question) -> str:
    stage = question.stage
    if question.next_title is None:
        promote = "the cutover ends as promoted; traffic stays as it is"
    else:
        audience = text.audience(
            question.next_weight, question.next_segments, question.next_routes)
        promote = (f"{audience} get "
                   f"{question.systems['candidate']}, for at least "
                   f"{text.duration(question.next_soak_seconds)}")
    if stage.approvers > question.ordinal:
        promote += ", once all approvers have agreed"
    hold = (f"traffic stays, {stage.title} soaks {text.duration(stage.soak_seconds)} more, "
            "and you are asked again")
    rollback = (f"everyone is back on {question.systems['baseline']} at once; "
                "the cutover ends and would begin anew")
    return text.markdown_table(("your decision", "what happens"), (
        ("promote", promote), ("hold", hold), ("rollback", rollback),
    ))


def _warned(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    # two blanks at its end: each warning keeps a line of its own
    return ["\n".join(f"> ⚠ {text.markdown(warning)}  " for warning in warnings)]


def _count(value: object) -> str:
    return text.count(value) if isinstance(value, int) else "?"

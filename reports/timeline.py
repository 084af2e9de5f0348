"""From the audit's events to the timeline, the charts' marks and the traffic share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from changeover.domain.audit import AuditEvent
from changeover.domain.routing import Mode
from changeover.plan.amending import DIGEST_SHOWN
from reports import text
from reports.model import Mark, Moment, Tone, WeightStep

_TITLES: dict[str, tuple[str, Tone]] = {
    "plan.registered": ("plan registered", "plain"),
    "plan.amended": ("plan amended: {changes}", "warn"),
    "cutover.started": ("cutover started", "plain"),
    "cutover.promoted": ("cutover promoted", "good"),
    "cutover.rolled_back": ("cutover rolled back", "bad"),
    "cutover.failed": ("cutover failed", "bad"),
    "stage.entered": ("{stage} entered", "plain"),
    "stage.waits": ("{stage} waits for its group", "warn"),
    "stage.promoted": ("{stage} promoted", "good"),
    "stage.rolled_back": ("{stage} rolled back", "bad"),
    "stage.held": ("{stage} held", "warn"),
    "cutover.amend": ("agreed to another plan", "warn"),
    "freeze.on": ("frozen: nobody is moved", "warn"),
    "freeze.off": ("no longer frozen", "good"),
    "stage.skipped": ("{stage} skipped", "warn"),
    "cutover.pause": ("cutover paused", "warn"),
    "cutover.resume": ("cutover goes on", "good"),
    "cutover.extend": ("{stage} soaks longer", "warn"),
    "cutover.promote-now": ("{stage}: its soak is to end now", "warn"),
    "cutover.skip-stage": ("{stage} is to be skipped", "warn"),
    "gate.judged": ("gate {gate} of {stage}: {verdict}", "plain"),
    "approval.asked": ("people asked about {stage}", "plain"),
    "approval.answered": ("{stage}: {decision}", "good"),
    "approval.void": ("answer without effect on {stage}: {decision}", "warn"),
    "routing.changed": ("traffic: {to}", "plain"),
    "rollback.started": ("rollback: everyone to the baseline", "bad"),
    "rollback.in_steps": ("rollback: users return in steps", "bad"),
    "rollback.partial": ("rollback of {scope}: everyone else stays", "bad"),
    "rollback.completed": ("rollback completed", "good"),
    "rollback.needs_person": ("rollback needs a person", "bad"),
    "trigger.fired": ("trigger {trigger} fired: {action}", "bad"),
    "trigger.cleared": ("trigger {trigger} is over", "good"),
    "lever.pulled": ("lever {lever} pulled", "plain"),
    "load.began": ("{load} began in {stage}", "plain"),
    "load.ended": ("{load} ended: {sent} sent, {failed} failed, {left_out} left out", "plain"),
    "step.begun": ("step {step} begun", "plain"),
    "step.done": ("step {step} done", "plain"),
    "step.failed": ("step {step} failed", "bad"),
    "suite.pass": ("suite {suite} passed", "good"),
    "suite.fail": ("suite {suite} failed", "bad"),
    "suite.inconclusive": ("suite {suite} could not be decided", "warn"),
    "flags.set": ("flags set: {flags}", "plain"),
    "run.ended": ("no flow run carries on {subject}", "warn"),
    "run.back": ("a flow run carries on {subject} again", "good"),
    "people.told": ("people notified that {stage} waits", "plain"),
    "notify.failed": ("a notification failed", "warn"),
    "baseline.retired": ("baseline retired", "good"),
    "break_glass.used": ("break glass: baseline by hand", "bad"),
    "rollback.gateway_first": ("users moved before the store knew", "bad"),
}
_TONES: dict[tuple[str, str], Tone] = {
    ("gate.judged", "pass"): "good",
    ("gate.judged", "fail"): "bad",
    ("gate.judged", "inconclusive"): "warn",
    ("approval.answered", "hold"): "warn",
    ("approval.answered", "rollback"): "bad",
    ("trigger.fired", "hold"): "warn",
    ("trigger.fired", "alert"): "warn",
}
_DECIDED_BY = ("verdict", "decision", "action")


class _Known(dict[str, str]):
    """What an event says; a fact that it lacks is shown as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


def moments(
    events: Iterable[AuditEvent], titles: Mapping[str, str], *, start: datetime, end: datetime
) -> tuple[Moment, ...]:
    """Return the timeline of [start, end]; equal evaluations at a gate in a row become one line.

    Args:
        events: The audit's events in order.
        titles: Titles of the plan's stages by key.
        start: First moment shown.
        end: Last moment shown.
    """
    shown: list[Moment] = []
    for event in events:
        if not start <= event.at <= end:
            continue
        moment = _moment(event, titles)
        last = shown[-1] if shown else None
        # a gate that waits is judged every few minutes: hours of it are one line
        if last and event.kind == "gate.judged" and last.title == moment.title:
            shown[-1] = replace(moment, count=last.count + 1)
        else:
            shown.append(moment)
    return tuple(shown)


def weights(
    events: Iterable[AuditEvent], *, start: datetime, end: datetime
) -> tuple[WeightStep, ...]:
    """Return the candidate's decided share of users over time, from `start` on."""
    steps = [WeightStep(start, 0)]
    for event in events:
        weight = event.data.get("weight")
        if event.kind not in ("routing.changed", "rollback.started") or weight is None:
            continue
        if event.at > end:
            break
        step = WeightStep(max(event.at, start), int(weight))
        # the newest change before the start is the share with which the chart begins
        if event.at <= start:
            steps = [step]
        else:
            steps.append(step)
    return tuple(steps)


def marks(
    events: Iterable[AuditEvent], titles: Mapping[str, str], *, start: datetime, end: datetime
) -> tuple[Mark, ...]:
    """Return the decisions of [start, end] that the charts show as vertical lines."""
    found = (_mark(event, titles) for event in events if start <= event.at <= end)
    return tuple(mark for mark in found if mark is not None)


def _mark(event: AuditEvent, titles: Mapping[str, str]) -> Mark | None:
    stage = str(event.data.get("stage", ""))
    if event.kind == "stage.entered":
        # the title of a stage without its phase: labels stand close together
        title = titles.get(stage, stage).removeprefix("gradual ")
        return Mark(event.at, "promotion", f"→ {title}")
    if event.kind == "cutover.promoted":
        return Mark(event.at, "promotion", "promoted")
    if event.kind == "stage.held":
        return Mark(event.at, "hold", "hold")
    if event.kind == "rollback.started":
        return Mark(event.at, "rollback", "rollback")
    if event.kind == "trigger.fired":
        return Mark(event.at, "trigger", f"trigger {event.data.get('trigger', '?')}")
    return None


def _moment(event: AuditEvent, titles: Mapping[str, str]) -> Moment:
    kind = event.kind
    if kind == "rollback.started" and event.data.get("mode") == Mode.RETURNING:
        kind = "rollback.in_steps"
    # a kind that this version does not know is shown by its name
    title, tone = _TITLES.get(kind, (event.kind.replace(".", " ").replace("_", " "), "plain"))
    for name in _DECIDED_BY:
        tone = _TONES.get((event.kind, str(event.data.get(name))), tone)
    if event.data.get("problem"):
        tone = "warn"
    stage = event.data.get("stage")
    # one line each: an event's texts are people's and systems' own
    facts = _Known({key: text.one_line(_named(value)) for key, value in event.data.items()})
    if stage is not None:
        facts["stage"] = titles.get(str(stage), str(stage))
    return Moment(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        title=title.format_map(facts),
        detail=_detail(event.kind, event.data),
        actor=event.actor,
        tone=tone,
        stage=None if stage is None else str(stage),
    )


def _named(value: object) -> object:
    """Return a list or mapping as people write it: `a, b`, `name: value`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_named(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(_named(inner)) for inner in value)
    return str(value).lower() if isinstance(value, bool) else value


def _detail(kind: str, data: Mapping[str, Any]) -> str:
    """Return what an event says beyond its title, in one line."""
    parts: Sequence[object] = (
        data.get("reason"), data.get("outcome"), data.get("comment"), data.get("problem"),
        data.get("detail"), data.get("said"),
    )
    sentences = [text.one_line(part) for part in parts if part]
    if kind in ("plan.registered", "plan.amended"):
        sentences.append(f"plan {str(data.get('digest', '?'))[:DIGEST_SHOWN]}")
    if kind == "stage.held":
        sentences.append(f"round {data.get('round', '?')} begins")
    if kind == "approval.asked" and data.get("ordinal", 1) != 1:
        sentences.append(f"approver {data['ordinal']}")
    if kind == "approval.answered" and data.get("source"):
        sentences.append(f"answered through {data['source']}")
    return "; ".join(sentences)

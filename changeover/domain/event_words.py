"""The audit's events in words, with a tone, for pages and reports. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from changeover.domain.audit import AuditEvent
from changeover.domain.routing import Mode
from changeover.plan.amending import DIGEST_SHOWN

Tone = Literal["plain", "good", "warn", "bad"]
"""How an event is shown: never by colour alone, each tone has its own sign."""
MarkKind = Literal["promotion", "hold", "rollback", "trigger"]
TITLES: dict[str, tuple[str, Tone]] = {
    "plan.registered": ("plan registered", "plain"),
    "plan.amended": ("plan amended: {changes}", "warn"),
    "cutover.started": ("cutover started", "plain"),
    "cutover.start": ("cutover is to start", "plain"),
    "cutover.continued": ("another flow run carries the cutover on", "warn"),
    "cutover.stopped": ("cutover stopped where it was", "warn"),
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
    "approval.withdrawn": ("{stage}: not asked any more", "plain"),
    "approval.refused": ("answer to {subject} refused: {decision}", "warn"),
    "routing.changed": ("traffic: {to}", "plain"),
    "rollback.started": ("rollback: everyone to the baseline", "bad"),
    "rollback.in_steps": ("rollback: users return in steps", "bad"),
    "rollback.partial": ("rollback of {scope}: everyone else stays", "bad"),
    "rollback.completed": ("rollback completed", "good"),
    "rollback.needs_person": ("rollback needs a person", "bad"),
    "trigger.fired": ("trigger {trigger} fired: {action}", "bad"),
    "trigger.cleared": ("trigger {trigger} is over", "good"),
    "lever.pulled": ("lever {lever} pulled", "plain"),
    "back_pressure.slow": ("{of} is slow: no user is sent there", "warn"),
    "back_pressure.frozen": ("{of} hangs: no user is sent there", "bad"),
    "back_pressure.normal": ("{of} answers well again", "good"),
    "load.began": ("{load} began in {stage}", "plain"),
    "load.ended": ("{load} ended: {sent} sent, {failed} failed, {left_out} left out", "plain"),
    "step.begun": ("step {step} begun", "plain"),
    "step.done": ("step {step} done", "plain"),
    "step.failed": ("step {step} failed", "bad"),
    "suite.pass": ("suite {suite} passed", "good"),
    "suite.fail": ("suite {suite} failed", "bad"),
    "suite.inconclusive": ("suite {suite} could not be decided", "warn"),
    "suite.error": ("suite {suite} was carried on by nobody", "warn"),
    "repair.began": ("repair of {issue} at {system} began", "plain"),
    "repair.done": ("repair of {issue} at {system} helped", "good"),
    "repair.failed": ("repair of {issue} at {system} did not help", "warn"),
    "repair.escalated": ("{issue} at {system} needs a person", "bad"),
    "flag.changed": ("flag {flag} changed", "plain"),
    "flags.set": ("flags set: {flags}", "plain"),
    "run.ended": ("no flow run carries on {subject}", "warn"),
    "run.back": ("a flow run carries on {subject} again", "good"),
    "people.told": ("people notified that {stage} waits", "plain"),
    "notify.failed": ("a notification failed", "warn"),
    "events.given_up": ("{events} events for {to} were given up", "warn"),
    "console.acts": ("the form {action} was sent", "plain"),
    "claim.handed_over": ("an item was handed over", "plain"),
    "baseline.retiring": ("baseline is being retired", "warn"),
    "baseline.retired": ("baseline retired", "good"),
    "retirement.left": ("retirement ended where it was", "warn"),
    "break_glass.used": ("break glass: baseline by hand", "bad"),
    "token.created": ("token made", "plain"),
    "token.revoked": ("token revoked", "plain"),
    "approver.token": ("approver {name}: token made", "plain"),
    "approver.code": ("approval code made", "plain"),
    "approver.removed": ("approver {name} removed", "plain"),
    "console.refused": ("refused on the page", "warn"),
    "console.signed_in": ("signed in on the page", "plain"),
    "way_back.at_risk": ("the way back is at risk", "bad"),
    "way_back.well": ("the way back is well again", "good"),
    "gateway_node.rolled_back": ("gateway node {node} rolled back by itself", "bad"),
    "gateway_node.forgotten": ("gateway node {node} was removed", "plain"),
    "gateway_node.lost": ("gateway node {node} was lost for a while", "warn"),
    "rollback.gateway_first": ("users moved before the store knew", "bad"),
}
"""The title and tone of each kind of event; `rollback.in_steps` is a way of `rollback.started`."""
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
# what str.splitlines takes for the end of a line, and tabs; thin and no-break spaces are not in it
_BREAKS = re.compile(r"[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class EventWords:
    """An event for people.

    Args:
        title: What happened, some words.
        detail: What the event says beyond its title, in one line; may be empty.
        tone: How it is shown.
    """

    title: str
    detail: str
    tone: Tone


class _Facts(dict[str, str]):
    """What an event says; a fact that it lacks is shown as a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


def words_of(event: AuditEvent, titles: Mapping[str, str]) -> EventWords:
    """Return an event in words.

    Args:
        event: The event.
        titles: Titles of the plan's stages by key.
    """
    kind = event.kind
    if kind == "rollback.started" and event.data.get("mode") == Mode.RETURNING:
        kind = "rollback.in_steps"
    # a kind that this version does not know is shown by its name
    unknown: tuple[str, Tone] = (event.kind.replace(".", " ").replace("_", " "), "plain")
    title, tone = TITLES.get(kind, unknown)
    for name in _DECIDED_BY:
        tone = _TONES.get((event.kind, str(event.data.get(name))), tone)
    if event.data.get("problem"):
        tone = "warn"
    # one line each: an event's texts are people's and systems' own
    facts = _Facts()
    for key, value in event.data.items():
        facts[key] = one_line(_named(value))
    stage = event.data.get("stage")
    if stage is not None:
        facts["stage"] = titles.get(str(stage), str(stage))
    return EventWords(title.format_map(facts), _detail(event.kind, event.data), tone)


def mark_of(event: AuditEvent, titles: Mapping[str, str]) -> tuple[MarkKind, str] | None:
    """Return the mark of a decision on a chart, as (kind, label); None for other events.

    Kinds: `promotion`, `hold`, `rollback`, `trigger`.
    """
    stage = str(event.data.get("stage", ""))
    if event.kind == "stage.entered":
        # the title of a stage without its phase: labels stand close together
        title = titles.get(stage, stage).removeprefix("gradual ")
        return "promotion", f"→ {title}"
    if event.kind == "cutover.promoted":
        return "promotion", "promoted"
    if event.kind == "stage.held":
        return "hold", "hold"
    if event.kind == "rollback.started":
        return "rollback", "rollback"
    if event.kind == "trigger.fired":
        return "trigger", f"trigger {event.data.get('trigger', '?')}"
    return None


def one_line(value: object) -> str:
    """Return a text without line ends and tabs; thin and no-break spaces stay."""
    return _BREAKS.sub(" ", str(value)).strip()


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
    sentences = [one_line(part) for part in parts if part]
    if kind in ("plan.registered", "plan.amended"):
        sentences.append(f"plan {str(data.get('digest', '?'))[:DIGEST_SHOWN]}")
    if kind == "stage.held":
        sentences.append(f"round {data.get('round', '?')} begins")
    if kind == "approval.asked" and data.get("ordinal", 1) != 1:
        sentences.append(f"approver {data['ordinal']}")
    if kind == "approval.answered" and data.get("source"):
        sentences.append(f"answered through {data['source']}")
    return "; ".join(sentences)

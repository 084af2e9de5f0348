"""Failures of the candidate that a plan would not notice: `plan check` warns of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.plan.conditions import Condition
from changeover.plan.guardrails import Guardrail
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import Plan
from changeover.plan.statuses import has_status

_COMPARED = frozenset({"similarity", "match_rate", "divergence_rate"})


@dataclass(frozen=True, slots=True)
class _Behaviour:
    """One way in which a candidate can fail completely, and what would notice it."""

    what: str
    guardrail: Guardrail
    metrics: frozenset[str]


_BEHAVIOURS = (
    _Behaviour("fails every request", Guardrail.ERRORS,
               frozenset({"error_rate", "server_error_rate", "user_error_rate"})),
    _Behaviour("answers 404 to everybody", Guardrail.CLIENT_ERRORS,
               _COMPARED | {"client_error_rate"}),
    _Behaviour("only redirects", Guardrail.REDIRECTS, _COMPARED | {"redirect_rate"}),
    _Behaviour("answers everybody without a body", Guardrail.EMPTY_ANSWERS,
               _COMPARED | {"empty_rate", "response_bytes"}),
    _Behaviour("answers everybody with a few bytes", Guardrail.SHORT_ANSWERS,
               _COMPARED | {"response_bytes"}),
    _Behaviour("is down while nobody asks it", Guardrail.DOWN, frozenset({"up"})),
)


def unwatched(plan: Plan) -> list[str]:
    """Return what no guardrail, gate or trigger of a plan would notice, one sentence each."""
    read = _read(plan)
    found = [_blind(plan, each) for each in _BEHAVIOURS
             if not plan.guardrails.is_on(each.guardrail) and not each.metrics & read]
    if not plan.triggers:
        found.append(
            "the plan has no trigger: between gates only guardrails watch, "
            "and they notice only a candidate that fails nearly all requests")
    elif not any(trigger.action == "rollback" for trigger in plan.triggers):
        found.append(
            "no trigger rolls back: between gates only guardrails do, "
            "when the candidate fails nearly all requests")
    return found + _wrong_content(plan, read) + _resources(plan, read)


def _blind(plan: Plan, each: _Behaviour) -> str:
    reason = plan.guardrails.turned_off[each.guardrail]
    own = sorted(each.metrics - _COMPARED)
    off = f"guardrail {each.guardrail} is off ({reason})"
    unread = f"no gate or trigger reads {' or '.join(own)}"
    # who compares answers would see it, too
    if each.metrics & _COMPARED:
        unread += ", or compares answers"
    return f"nothing would notice a candidate that {each.what}: " \
        f"{off}, and {unread}"


def _wrong_content(plan: Plan, read: frozenset[str]) -> list[str]:
    if plan.shadow is None:
        return [
            "the plan has no shadow: nothing compares the answers, "
            "so nobody notices wrong content"]
    is_off = not plan.guardrails.is_on(Guardrail.REGRESSIONS)
    if is_off and not read & _COMPARED:
        reason = plan.guardrails.turned_off[Guardrail.REGRESSIONS]
        return [
            "nothing reads what shadow comparison finds: "
            f"guardrail regressions is off ({reason}), and no gate or "
            "trigger reads similarity, match_rate or divergence_rate"]
    if not plan.shadow.noise and not read & _COMPARED:
        return [
            "shadow.noise is 0: differences cannot be separated from noise, "
            "so guardrail regressions never asks; "
            "set a share, or add a gate on match_rate"]
    return []


def _resources(plan: Plan, read: frozenset[str]) -> list[str]:
    found = []
    if not any(name.startswith("latency") for name in read):
        found.append("no gate or trigger reads a latency: nobody notices a slow candidate")
    if "memory" not in read and not plan.health.memory_limits:
        found.append("nobody watches the candidate's memory: " + (
            "no gate or trigger reads it" if plan.systems.candidate.process
            else "systems.candidate has no process"))
    return found


def _read(plan: Plan) -> frozenset[str]:
    """Return the metrics of the candidate that gates of stages, or triggers, read."""
    used, gates = {gate for stage in plan.stages() for gate in stage.gates}, plan.all_gates
    conditions = [*plan.triggers, *(check for gate in used for check in gates.get(gate, ()))]
    found = set()
    for each in conditions:
        # a check of one segment says nothing of the others
        if each.of != "candidate" or each.part is not None:
            continue
        # without shadow traffic nothing is compared
        if plan.shadow or METRICS[each.metric].source is not Source.COMPARISON:
            found.add(each.metric)
        found |= _seen_by_status(each)
    return frozenset(found)


def _seen_by_status(condition: Condition) -> set[str]:
    """Return the metrics that would show nothing which a rate by status does not show."""
    named = condition.status or []
    found = set()
    if has_status("404", named):
        found.add("client_error_rate")
    if any(has_status(code, named) for code in ("301", "302", "307", "308")):
        found.add("redirect_rate")
    if "2xx" in named or "200" in named:  # a bound that answers must reach shows both
        found |= {"client_error_rate", "redirect_rate"}
    return found

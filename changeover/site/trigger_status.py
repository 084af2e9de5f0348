"""How the triggers of a plan stand, as JSON-able mappings: for the status, the page, `/metrics`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.analysis.check import describe_bound
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.plan.metrics import Metric, format_value
from changeover.plan.model import Plan
from changeover.plan.subsets import in_words
from changeover.plan.triggers import TriggerSpec
from changeover.plan.units import format_duration
from changeover.store import trigger_standings
from changeover.store.engine import Store

OLD_AFTER = timedelta(seconds=30)
"""The observer saves them every two seconds: what is older says little of now."""
_NEVER = {
    "stands": str(Stands.ARMED), "since": None, "at": None, "is_old": True,
    "value": None, "shown": "–", "burn": None,
    "log_worse": None, "log_bar": None,
    "reason": "nobody has judged it yet",
}


def triggers(store: Store, plan: Plan, *, now: datetime) -> list[dict[str, Any]]:
    """Return how each trigger stands, in the plan's order.

    Keys: `trigger`, `action`, `condition`, `stands` (armed, holding, firing, cleared), `since` and
    `at` (ISO 8601, or null), `is_old` (no observer judged it of late), `value` in base units, and
    `shown`, that for people; `burn` of a budget, `log_worse` and `log_bar` of evidence (or null);
    `reason`, `evidence`.
    """
    known = {}
    for each in trigger_standings.all_of(store, plan.migration):
        known[each.trigger] = each
    return [_trigger(spec, known.get(spec.name), now) for spec in plan.triggers]


def _trigger(
    spec: TriggerSpec, found: TriggerStanding | None, now: datetime
) -> dict[str, Any]:
    named = {"trigger": spec.name, "action": str(spec.action),
             "condition": condition(spec)}
    # never judged: the observer has not run since the trigger is in the plan
    if found is None:
        return {**named, **_NEVER, "evidence": {}}
    since, evidence = found.since, found.evidence
    weighed = evidence.get("evidence") or {}
    return {
        **named, "stands": str(found.stands),
        "since": since.isoformat() if since else None,
        "at": found.at.isoformat(),
        "is_old": now - found.at > OLD_AFTER,
        "value": found.value, "shown": _shown(spec.measured, found),
        "burn": evidence.get("burn"),
        "log_worse": weighed.get("log_worse"),
        "log_bar": weighed.get("log_bar"),
        "reason": found.reason, "evidence": evidence,
    }


def condition(spec: TriggerSpec) -> str:
    """Return when a trigger fires, as `failed requests of candidate above 10 %, for 1s`."""
    segment = f" in {spec.segment}" if spec.segment else ""
    segment = in_words(spec.subset) if spec.route else segment
    lasting = f", for {format_duration(spec.for_)}" if spec.for_ else ""
    what = f"{spec.measured.words} of {spec.of}{segment}"
    where = f", in {' and '.join(spec.stages)}" if spec.stages else ""
    return f"{what} {describe_bound(spec)}{lasting}{where}"


def as_text(found: dict[str, Any]) -> str:
    """Return how a trigger stands in one line."""
    # without parts of a second
    since = f" since {found['since'][:19]}" if found["since"] else ""
    old = ""
    if found["is_old"] and found["at"]:
        old = f" (judged at {found['at'][:19]} and not since)"
    name = f"trigger {found['trigger']} ({found['action']})"
    return f"{name}: {found['stands']}{since}{old}: {found['reason']}"


def _shown(metric: Metric, found: TriggerStanding) -> str:
    # a budget is judged by how fast it burns: the value alone would tell little
    value = "–"
    if found.value is not None:
        value = format_value(metric, found.value)
    burn = found.evidence.get("burn")
    if burn is None:
        return value
    return f"{value}, burn {burn:.2g}"

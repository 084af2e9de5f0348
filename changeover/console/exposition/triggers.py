"""How triggers stand, how near each is to firing, and which fired of late."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from changeover.analysis.nearness import nearness
from changeover.console.exposition.checks import bounds
from changeover.console.exposition.family import Bound, Family, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.rollbacks import Stands
from changeover.plan.triggers import TriggerSpec
from changeover.site import trigger_status
from changeover.store import firings

RECENT = timedelta(hours=24)
# numbers, so that an alert can say `> 1`; a trigger that is over is as good as armed
_STANDS = {Stands.ARMED: 0, Stands.CLEARED: 0, Stands.HOLDING: 1, Stands.FIRING: 2}
_LABELS = ("trigger", "action")
_TRIGGER = Bound("trigger of the plan", 200)
STANDING = Family(
    "trigger_standing",
    "How it stands: 0 armed, 1 its condition is true but not long enough, 2 firing.",
    _LABELS, _TRIGGER)
VALUE = Family(
    "trigger_value", "What a trigger measures, in base units.", _LABELS, _TRIGGER)
BOUND = Family(
    "trigger_bound", "The bound of a trigger in base units, by its name in the plan.",
    (*_LABELS, "bound"), Bound("trigger of the plan, two for between", 400))
NEARNESS = Family(
    "trigger_nearness_ratio",
    "How near its condition is to being true: 0 far away, 1 at its bound, above 1 beyond.",
    _LABELS, _TRIGGER)
BURN = Family(
    "trigger_burn",
    "How many times as fast as allowed an error budget burns, in the worst long window.",
    _LABELS, _TRIGGER)
LOG_WORSE = Family(
    "trigger_log_worse", "Natural logarithm of the evidence that harm is beyond the margin.",
    _LABELS, _TRIGGER)
LOG_BAR = Family("trigger_log_bar", "What that must reach to fire.", _LABELS, _TRIGGER)
FIRINGS = Family(
    "trigger_firings", "Firings in the last 24 hours.", _LABELS,
    Bound("trigger and action of the last 24 hours", 400))
FAMILIES = (STANDING, VALUE, BOUND, NEARNESS, BURN, LOG_WORSE, LOG_BAR, FIRINGS)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add how triggers stand; what nobody judged of late is left out."""
    plan = scene.site.plan
    found = trigger_status.triggers(scene.store, plan, now=scene.now)
    # in the plan's order, both of them
    for spec, each in zip(plan.triggers, found, strict=True):
        if not each["is_old"]:
            _add(scrape, spec, each)
    since = scene.now - RECENT
    day = firings.all_of(scene.store, scene.migration, since=since)
    counted = Counter((each.trigger, each.did) for each in day)
    for (trigger, action), number in sorted(counted.items()):
        scrape.add(FIRINGS, number, trigger, action)


def _add(scrape: Scrape, spec: TriggerSpec, each: dict[str, Any]) -> None:
    labels = each["trigger"], each["action"]
    scrape.add(STANDING, _STANDS[each["stands"]], *labels)
    scrape.add(VALUE, each["value"], *labels)
    for name, value in bounds(spec.bound_name, spec.bound_values):
        scrape.add(BOUND, value, *labels, name)
    near = nearness(spec, each["value"], each["evidence"])
    scrape.add(NEARNESS, near, *labels)
    scrape.add(BURN, each["burn"], *labels)
    scrape.add(LOG_WORSE, each["log_worse"], *labels)
    scrape.add(LOG_BAR, each["log_bar"], *labels)

"""Which triggers say hold about a stage: those that fire still, and those that fired in its soak.

What fired in an earlier soak and is over was told to whoever held the stage then: their answer
began a new soak, which is judged by what happens in it.
"""

from __future__ import annotations

from datetime import datetime

from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.domain.rollout import StageRecord
from changeover.plan.triggers import TriggerAction
from changeover.procedures.steps import CutoverRun
from changeover.store import audit, firings, trigger_standings


def says_hold(run: CutoverRun, record: StageRecord) -> list[str]:
    """Return one sentence for each trigger because of which people are asked about a stage.

    Args:
        run: The cutover.
        record: The stage, in its present soak.
    """
    store, migration = run.site.store, run.migration
    standing = {each.trigger: each for each in trigger_standings.all_of(store, migration)}
    sentences = {}
    for fired in firings.all_of(store, migration, since=_began(run, record)):
        if fired.action is TriggerAction.HOLD:
            now = _now(standing.get(fired.trigger))
            sentences[fired.trigger] = f"trigger {fired.trigger} says hold: {fired.reason}{now}"
    for spec in run.site.plan.triggers:
        found = standing.get(spec.name)
        # it fired before this soak, and is not over: it does not fire again until it is
        if spec.action is TriggerAction.HOLD and spec.name not in sentences \
                and found is not None and found.stands is Stands.FIRING:
            sentences[spec.name] = f"trigger {spec.name} says hold: {found.reason}{_now(found)}"
    return list(sentences.values())


def _began(run: CutoverRun, record: StageRecord) -> datetime:
    """Return when the present soak of a stage began."""
    if record.round == 1:
        return record.entered_at
    held = audit.newest_of(run.site.store, run.migration, "stage.held")
    is_of_stage = held is not None and held.data.get("stage") == record.key
    return held.at if held is not None and is_of_stage else record.entered_at


def _now(found: TriggerStanding | None) -> str:
    """Return how a trigger that fired stands now, as the end of a sentence."""
    if found is None or found.since is None:
        return ""
    if found.stands is Stands.FIRING:
        return f" (still so, since {found.since:%Y-%m-%d %H:%M:%S} UTC)"
    if found.stands is Stands.CLEARED:
        return f" (over since {found.since:%Y-%m-%d %H:%M:%S} UTC)"
    return ""

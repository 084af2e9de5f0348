"""What every rollout phase does with each of its stages, and how a phase runs alone."""

from __future__ import annotations

from changeover.analysis.gate import Action
from tasks.reporting import publish_gate_table, update_progress
from tasks.settling import recheck_later

from changeover.errors import StaleEpoch
from tasks.gate import judge_stage
from tasks.soaking import soak
from tasks.steps import PASSING_TROUBLE, try_again_later
from tasks.traffic import move_traffic

Outcome = dict[str, str]
"""`stage`, `action` (promote, ask, rollback, superseded) and `reason`."""


async def pass_stage(migration: str, cutover_id: int, stage: str) -> Outcome:
    """Move traffic, soak, judge the gate; look again while there is too little data."""
    try:
        move_traffic(migration, cutover_id, stage)
        update_progress(migration, cutover_id)
        while True:
            await soak(migration, cutover_id, stage)
            decision = judge_stage(migration, cutover_id, stage)
            publish_gate_table(migration, cutover_id, stage)
            if decision["action"] != Action.WAIT:
                return {"stage": stage, **decision}
            recheck_later(migration, cutover_id, stage)
    except StaleEpoch as stale:
        return {"stage": stage, "action": "superseded", "reason": str(stale)}
    except PASSING_TROUBLE as trouble:
        await try_again_later(trouble)
        raise

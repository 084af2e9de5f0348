"""Asking people whether the baseline may be taken out of use."""

from __future__ import annotations

from changeover.domain.rollout import StageAction
from tasks.approval import ask_about
from tasks.runtime import runtime_of

SUBJECT = "disable-baseline"


async def ask_to_disable(migration: str, cutover_id: int) -> dict[str, str]:
    """Suspend until people have agreed to disable the baseline, or have not.

    Returns:
        `action`: promote disables it, hold leaves it in use, rollback brings everyone back.

    Raises:
        StaleEpoch: A rollback came first.
    """
    spec = runtime_of(migration).plan.cutover.disable_baseline
    if spec is None:
        return {"stage": "", "action": StageAction.HOLD, "reason": "the plan disables nothing"}
    question = (
        f"## Take the baseline of {migration} out of use?\n\nEveryone is on the candidate. "
        f"Levers: {', '.join(spec.levers)}.\n\n- **promote**: pull them; a rollback pulls the "
        "restore levers first.\n- **hold**: leave the baseline as it is and go on.\n"
        "- **rollback**: everyone back to the baseline now.\n"
    )
    decision = await ask_about(
        migration, cutover_id, SUBJECT, question, needed=spec.approval.approvers)
    return {"stage": SUBJECT, "action": decision.action, "reason": decision.reason}

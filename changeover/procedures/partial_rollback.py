"""Moving a part of the users back: one segment, or one stage."""

from __future__ import annotations

from dataclasses import asdict

from changeover.domain.messages import Severity
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Cause
from changeover.errors import Refused
from changeover.procedures import rollback
from changeover.procedures.notices import notify
from changeover.procedures.steps import Found, Procedure
from changeover.site.site import Site
from changeover.store import routing


def move_back(site: Site, scope: str, reason: str, flow_run_id: str) -> str:
    """Move one segment, or the last stage's users, back to the baseline; once for a flow run.

    Args:
        site: The migration.
        scope: `segment:NAME`, or `stage` for one stage back.
        reason: What happened.
        flow_run_id: The run that does it.

    Returns:
        The routing state in one phrase.

    Raises:
        Refused: There is nothing smaller to go back to.
        PublishFailed: The gateway did not confirm.
    """
    run = Procedure(site, f"partial-{flow_run_id}", flow_run_id)
    # kept before anything moves: after a kill one stage back is not one more stage back
    aimed = run.once("what is left", lambda: _aim(site, scope))
    if aimed.status is not StepStatus.DONE:
        raise Refused(aimed.detail)
    target = rollback.Reduced(**{**aimed.data, "segments": tuple(aimed.data["segments"])})

    def move() -> Found:
        state = rollback.reduce(
            site, target, scope=scope, occasion=run.subject, cause=Cause("rollback/main", reason))
        return f"{scope} is back at the baseline: {state.describe()}", {}

    found = run.once("move a part back", move)
    if found.status is not StepStatus.DONE:
        raise Refused(found.detail)
    title = f"rollback of {scope} of {site.migration}"
    notify(site, title, reason, Severity.CRITICAL, key=run.subject)
    return found.detail


def _aim(site: Site, scope: str) -> Found:
    """Return what is left to the candidate after a part of the users went back."""
    left = rollback.smaller(site.plan, routing.read(site.store, site.migration), scope)
    segments = ", ".join(left.segments) or "no segment"
    return f"{left.weight / 100:g} % and {segments} stay", asdict(left)

"""How a cutover ends: promoted, rolled back, not begun, or ended where it was."""

from __future__ import annotations

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.messages import Severity
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.procedures import rollback
from changeover.procedures.notices import notify
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers, rollbacks, routing

_SAID = {
    CutoverStatus.PROMOTED: ("was promoted", Severity.INFO),
    CutoverStatus.ROLLED_BACK: ("was rolled back", Severity.CRITICAL),
    CutoverStatus.FAILED: ("was not begun", Severity.WARNING),
    CutoverStatus.STOPPED: ("was ended where it was", Severity.WARNING),
}


def close(run: CutoverRun, status: CutoverStatus, reason: str) -> Cutover:
    """Close the cutover and notify people once; the first end stands.

    Returns:
        The cutover as it ended.

    Raises:
        CarriedElsewhere: Another run carries it, which goes on: only a rollback ends it here.
        StaleEpoch: It was to be promoted, but a rollback came first.
    """
    ended = cutovers.finish(
        run.site.store, run.id, status, outcome=reason, now=clock.now(),
        flow_run_id=run.flow_run_id)
    # as it ended, which need not be what was asked for: the first end stands
    said, severity = _SAID[ended.status]
    title = f"cutover {run.id} of {run.migration} {said}"
    key = f"cutover-{run.id}-ended"
    notify(run.site, title, ended.outcome, severity, key=key)
    return ended


def roll_back_now(run: CutoverRun, decision: StageDecision) -> None:
    """Step 1 of the rollback: all traffic to the baseline. Does nothing after another rollback."""
    site = run.site
    # a rollback since then is the one that counts, and is done
    if routing.read(site.store, run.migration).epoch != run.epoch:
        return
    reason = f"stage {decision.stage}: {decision.reason}"
    rollback.start(site, Cause(f"cutover {run.id}", reason))


def reason_of_rollback(run: CutoverRun, otherwise: str) -> str:
    """Return why everyone is at the baseline: the newest rollback's reason, if there was one."""
    epoch = routing.read(run.site.store, run.migration).epoch
    known = rollbacks.of_epoch(run.site.store, run.migration, epoch)
    return known.reason if known else otherwise

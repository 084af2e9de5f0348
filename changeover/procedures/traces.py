"""Which trace a migration's work belongs to: a rollback's, a stage's, or a cutover's.

A cutover lasts weeks, so each of its stages has a trace of its own, linked with the cutover's.
"""

from __future__ import annotations

from datetime import UTC, datetime

from changeover import telemetry
from changeover.domain.routing import ROLLED_BACK, RoutingState
from changeover.errors import StoreError
from changeover.procedures.steps import CutoverRun, RollbackRun
from changeover.site.site import Site
from changeover.store import audit, rollbacks
from changeover.telemetry.traces import Trace, trace_of

_identities: dict[tuple[str, str], str] = {}
_rollbacks: dict[tuple[str, str, int], str] = {}


def _identity(site: Site) -> str:
    """Return the hash of the audit's first event: no other migration has the same."""
    key = site.store.url, site.migration
    if key not in _identities:
        # the same for ever: it is asked for once in a process
        first = audit.events(site.store, site.migration, limit=1)
        _identities[key] = first[0].hash if first else ""
    return _identities[key]


def _trace(
    site: Site, *what: str | int, follows: Trace | None = None
) -> Trace | None:
    """Return a trace; None while telemetry is off, or the store cannot say which it is."""
    if not telemetry.is_on():
        return None
    try:
        return trace_of(_identity(site), *what, follows=follows)
    # what is timed must be done all the same, in a trace of its own
    except StoreError:
        return None


def of_rollback(site: Site, epoch: int) -> Trace | None:
    """Return the trace of the rollback that began an epoch; None before it is recorded."""
    if not telemetry.is_on():
        return None
    key = site.store.url, site.migration, epoch
    try:
        if key not in _rollbacks:
            record = rollbacks.of_epoch(site.store, site.migration, epoch)
            if record is None:
                return None
            # a rehearsal's epoch is that of the next rollback: the moment tells them apart
            _rollbacks[key] = record.started_at.astimezone(UTC).isoformat()
    except StoreError:
        return None
    return _trace(site, "rollback", epoch, _rollbacks[key])


def of_cutover(site: Site, cutover_id: int) -> Trace | None:
    """Return the trace of what a cutover does around its stages."""
    return _trace(site, "cutover", cutover_id)


def of_stage(site: Site, cutover_id: int, stage: str) -> Trace | None:
    """Return the trace of a stage, a part of its cutover's."""
    whole = of_cutover(site, cutover_id)
    return _trace(site, "cutover", cutover_id, stage, follows=whole)


def of_state(site: Site, state: RoutingState) -> Trace | None:
    """Return the trace of a routing state's way to the gateway; None: that of who moved it."""
    # whoever publishes it, also an observer that mends what a killed process left
    if state.mode in ROLLED_BACK:
        return of_rollback(site, state.epoch)
    return None


def of_run(run: CutoverRun | RollbackRun, stage: str | None = None) -> Trace | None:
    """Return the trace of a procedure that a flow run carries out, or of a stage in it."""
    if isinstance(run, RollbackRun):
        return of_record(run.site, run.id)
    if stage is None:
        return of_cutover(run.site, run.id)
    return of_stage(run.site, run.id, stage)


def of_record(site: Site, rollback_id: int) -> Trace | None:
    """Return the trace of a rollback by its number."""
    if not telemetry.is_on():
        return None
    try:
        return of_rollback(site, rollbacks.get(site.store, rollback_id).epoch)
    except StoreError:
        return None


def began_rollback(site: Site, state: RoutingState, reason: str) -> None:
    """Note that a rollback is recorded: the root of its trace.

    It is linked with what brought it about: a request to the console, a stage's gate.
    """
    trace = of_rollback(site, state.epoch)
    with telemetry.span(
        "rollback", trace, is_root=trace is not None,
        attributes={**facts(state), "changeover.reason": reason[:500]},
    ):
        return


def began_stage(run: CutoverRun, stage: str, begun: datetime) -> None:
    """Note that a stage's users were moved: the root of the stage's trace."""
    trace = of_stage(run.site, run.id, stage)
    with telemetry.span(
        f"stage {stage}", trace, is_root=trace is not None, begun=begun,
        attributes={"changeover.migration": run.migration, "changeover.cutover": run.id},
    ):
        return


def began_cutover(run: CutoverRun) -> None:
    """Note that a cutover began: the root of its trace."""
    trace = of_cutover(run.site, run.id)
    with telemetry.span(
        "cutover", trace, is_root=trace is not None,
        attributes={"changeover.migration": run.migration, "changeover.cutover": run.id},
    ):
        return


def facts(state: RoutingState) -> dict[str, str | int | float | bool]:
    """Return what spans say of a routing state."""
    return {
        "changeover.migration": state.migration, "changeover.mode": str(state.mode),
        "changeover.epoch": state.epoch, "changeover.version": state.version,
        "changeover.percent": state.weight / 100,
    }

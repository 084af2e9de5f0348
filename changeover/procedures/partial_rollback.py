"""Moving a part of the users back: one segment, or one stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from changeover import clock
from changeover.domain.going_back import of_document, smaller
from changeover.domain.messages import Message, Severity
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Cause, scope_of
from changeover.domain.routing import RoutingState
from changeover.errors import PublishFailed, Refused
from changeover.procedures import rollback
from changeover.procedures.notices import notify
from changeover.procedures.steps import Found, Procedure
from changeover.site.site import Site
from changeover.store import messages, routing


def move_back(
    site: Site, scope: str, reason: str, occasion: str, *, actor: str = "rollback/main"
) -> str:
    """Move one segment, or the last stage's users, back; return the routing state in one phrase.

    Args:
        site: The migration.
        scope: `segment:NAME`, or `stage` for one stage back.
        reason: What happened.
        occasion: Names this rollback, which is done once: the flow run or the form.
        actor: Who decided.

    Raises:
        Refused: There is nothing smaller to go back to.
        PublishFailed: The gateway did not confirm.
    """
    run = Procedure(site, f"partial-{occasion}", occasion)
    # kept before anything moves: after a kill one stage back is not one more stage back
    aimed = run.once("what is left", lambda: _aim(site, scope))
    if aimed.status is not StepStatus.DONE:
        raise Refused(aimed.detail)
    target = of_document(aimed.data)

    def move() -> Found:
        cause = Cause(actor, reason)
        state = rollback.reduce(
            site, target, scope=scope, occasion=run.subject, cause=cause)
        said = f"{scope} is back at the baseline: {state.describe()}"
        return said, {}

    found = run.once("move a part back", move)
    if found.status is not StepStatus.DONE:
        raise Refused(found.detail)
    title = f"rollback of {scope} of {site.migration}"
    notify(site, title, reason, Severity.CRITICAL, key=run.subject)
    return found.detail


@dataclass(frozen=True, slots=True)
class SegmentBack:
    """One segment's users went back; `is_confirmed` says whether the gateway serves it."""

    state: RoutingState
    is_confirmed: bool


def take_segment_back(site: Site, segment: str, cause: Cause, occasion: str) -> SegmentBack:
    """Move a segment's users back at once, without a flow, and notify people.

    Repeating it changes nothing more.

    Args:
        site: The migration.
        segment: Name of the segment.
        cause: Who decided, and what happened.
        occasion: Names this rollback; it is audited once.

    Raises:
        Refused: The segment is back already, or a rollback came first.
        StoreError: The store cannot be used.
    """
    store, migration = site.store, site.migration
    state, scope = routing.read(store, migration), scope_of(segment)
    # said twice, by a trigger and a person: the second one changes nothing
    if segment in state.kept:
        raise Refused(f"segment {segment} is at the baseline: {state.describe()}")
    target = smaller(site.plan, state, scope)
    is_confirmed = True
    try:
        state = rollback.reduce(
            site, target, scope=scope, cause=cause, occasion=occasion)
    except PublishFailed:
        # the state stands, and the observer publishes it again
        state, is_confirmed = routing.read(store, migration), False
    title = f"rollback of {scope} of {migration}"
    said = f"{cause.reason}; everyone else stays: {state.describe()}"
    message = Message(
        migration, key=occasion, severity=Severity.CRITICAL,
        title=title, body=said, at=clock.now())
    # in the store at once, as all that the observer notifies people of: a kill must not lose it
    messages.put(store, message, is_once=True)
    return SegmentBack(state, is_confirmed)


def _aim(site: Site, scope: str) -> Found:
    """Return what is left to the candidate after a part of the users went back."""
    state = routing.read(site.store, site.migration)
    left = smaller(site.plan, state, scope)
    segments = ", ".join(left.segments) or "no segment"
    said = f"{left.weight / 100:g} % and {segments} stay"
    return said, asdict(left)

"""Moving a part of the traffic back: one segment, one route, or one stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from changeover import clock
from changeover.domain.going_back import Reduced, of_document, smaller
from changeover.domain.messages import Message, Severity
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Cause, is_of_route
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
    """Move one segment, one route, or the last stage's users, back; return the routing state.

    Args:
        site: The migration.
        scope: `segment:NAME`, `route:NAME`, or `stage` for one stage back.
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
class PartBack:
    """A segment or a route went back; `is_confirmed` says whether the gateway serves it."""

    state: RoutingState
    is_confirmed: bool


def take_part_back(site: Site, scope: str, cause: Cause, occasion: str) -> PartBack:
    """Move a segment's users or a route back at once, without a flow, and notify people.

    Repeating it changes nothing more.

    Args:
        site: The migration.
        scope: `segment:NAME` or `route:NAME`.
        cause: Who decided, and what happened.
        occasion: Names this rollback; it is audited once.

    Raises:
        Refused: It is back already, or a rollback came first.
        StoreError: The store cannot be used.
    """
    store, migration = site.store, site.migration
    state, (kind, _, name) = routing.read(store, migration), scope.partition(":")
    kept = state.kept_routes if is_of_route(scope) else state.kept
    # said twice, by a trigger and a person: the second one changes nothing
    if name in kept:
        raise Refused(f"{kind} {name} is at the baseline: {state.describe()}")
    target = smaller(site.plan, state, scope)
    return reduce_and_notify(site, target, scope=scope, cause=cause, occasion=occasion)


def reduce_and_notify(
    site: Site, target: Reduced, *, scope: str, cause: Cause, occasion: str,
    soaks_anew: bool = True,
) -> PartBack:
    """Move users back as `rollback.reduce` does, and notify people once.

    A state that a gateway does not confirm stands: the observer publishes it again, and one that
    lags keeps no further part at the candidate.

    Args:
        site: The migration.
        target: What is left to the candidate.
        scope: `segment:NAME` or `route:NAME`.
        cause: Who decided, and what happened.
        occasion: Names this rollback.
        soaks_anew: As in `rollback.reduce`.

    Raises:
        StaleEpoch: Everyone was rolled back in between.
        StoreError: The store cannot be used.
    """
    problem = ""
    try:
        state = rollback.reduce(site, target, scope=scope, cause=cause, occasion=occasion,
                                soaks_anew=soaks_anew)
    except PublishFailed as failure:
        state, problem = routing.read(site.store, site.migration), f"; not confirmed yet: {failure}"
    body = f"{cause.reason}; everyone else stays: {state.describe()}{problem}"
    # in the store at once, as all that people are notified of: a kill must not lose it
    messages.put(site.store, Message(
        site.migration, key=occasion, severity=Severity.CRITICAL,
        title=f"rollback of {scope} of {site.migration}", body=body, at=clock.now()), is_once=True)
    return PartBack(state, not problem)


def _aim(site: Site, scope: str) -> Found:
    """Return what is left to the candidate after a part of the users went back."""
    state = routing.read(site.store, site.migration)
    left = smaller(site.plan, state, scope)
    segments = ", ".join(left.segments) or "no segment"
    routes = "".join(f", {weight / 100:g} % of {name}" for name, weight in left.routes if weight)
    said = f"{left.weight / 100:g} % and {segments}{routes} stay"
    return said, asdict(left)

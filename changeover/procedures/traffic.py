"""Moving traffic: the routing state first, then the gateway, then the record of what it said.

Gateway nodes on other machines follow the store by themselves; whoever publishes waits for their
word (`fleet`), where there are any.

Everyone who moves traffic does it here: flows, the observer, the console, health checks and people.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from changeover import clock, telemetry
from changeover.domain.audit import Author
from changeover.domain.publications import Publication
from changeover.domain.routing import Change, RoutingState
from changeover.domain.stages import has_share
from changeover.errors import PublishFailed, StoreError
from changeover.plan.model import Stage
from changeover.procedures import fleet, members, traces
from changeover.site.site import Site
from changeover.store import publications, routing


def move(site: Site, change: Change, author: Author) -> RoutingState:
    """Change the routing state, bring it to the gateway, and record whether it was confirmed.

    Raises:
        Refused: The home's gateway is another migration's.
        StaleEpoch: A rollback came first.
        TransitionRefused: The mode may not be left or entered this way.
        CarriedElsewhere: Another flow run carries the work by now.
        AheadOfLeader: A member of the group that goes first is not so far.
        PublishFailed: The state is changed, but the gateway did not confirm it.
    """
    site.refuse_elsewhere("not moved")
    present = routing.read(site.store, site.migration)
    # else the next version could have the number of the one that is served
    _refuse_unknown(site, present, site.gateway.on_disk())
    if site.plan.group is not None:
        change = members.behind_leaders(site, present, change)
    # the state first: a gateway that follows late is mended, a state that lags would undo it
    state = routing.change(site.store, site.migration, change, author, now=clock.now())
    publish(site, state)
    return state


def give_share(site: Site, stage: Stage, change: Change, author: Author) -> RoutingState:
    """Put a stage's share of users on the candidate; repeating it changes nothing more.

    A state that is there already, as after a kill between two steps, is published once more.

    Args:
        site: The migration.
        stage: The stage.
        change: What gives it its share, from `change_for`.
        author: Who decided, and why.

    Raises:
        StaleEpoch: A rollback came since the change was decided.
        PublishFailed: The gateway did not confirm.
    """
    state = routing.read(site.store, site.migration)
    if not has_share(state, stage, site.plan):
        return move(site, change, author)
    publish(site, state)
    return state


def publish(site: Site, state: RoutingState, *, is_urgent: bool = False) -> Publication:
    """Bring a routing state to the gateway and record the attempt, confirmed or not.

    Args:
        site: The migration.
        state: What is to be served.
        is_urgent: Whether users go back: nodes are waited for as in a rollback of everyone.

    Raises:
        PublishFailed: The gateway did not confirm it, or a node that is alive did not.
        StoreError: It is confirmed, but that could not be recorded.
    """
    with telemetry.span(
        "publish", traces.of_state(site, state), attributes=traces.facts(state)
    ):
        return _publish(site, state, is_urgent=is_urgent)


def _publish(site: Site, state: RoutingState, *, is_urgent: bool) -> Publication:
    began, at = time.monotonic(), clock.now()
    try:
        publication = site.gateway.publish(site.plan, state)
        _refuse_unknown(site, state, (publication.epoch, publication.version))
        # after its own gateway, which is served already when a node stands still
        nodes = fleet.confirm(site, state, is_urgent=is_urgent)
    except PublishFailed as failure:
        failed = Publication(
            migration=site.migration, epoch=state.epoch, version=state.version, at=at,
            is_confirmed=False, seconds=time.monotonic() - began, error=str(failure))
        # whoever publishes must hear of the gateway, even when the store is away too
        with contextlib.suppress(StoreError):
            _record_once(site, failed)
        raise
    if nodes:
        publication = replace(publication, nodes=nodes, seconds=time.monotonic() - began)
    publications.save(site.store, publication)
    return publication


def _refuse_unknown(site: Site, state: RoutingState, order: tuple[int, int] | None) -> None:
    """Refuse when what is served is later than all that the store knows.

    As after the store was restored to an earlier state. A gateway goes back to no older version.

    Raises:
        PublishFailed: The gateway serves it.
    """
    # break glass has rules of its own
    if order is None or order <= state.order or site.gateway.files.journal.exists():
        return
    # somebody else may have published a later state meanwhile, which is in the store then
    with contextlib.suppress(StoreError):
        known = routing.read(site.store, site.migration)
        if order > known.order:
            raise PublishFailed(
                f"the gateway goes on serving version {order[1]} (epoch {order[0]}), which is "
                "later than all that the store knows, as after the store was restored to an "
                "earlier state", where=f"version {state.version} (epoch {state.epoch})",
                next_step="`changeover rollback` sends everyone to the baseline; then go on from "
                "there")


def _record_once(site: Site, failed: Publication) -> None:
    """Record an attempt that failed, unless the one before it failed in the same way.

    The observer tries again every second, and a gateway may refuse a state for days.
    """
    last = publications.latest(site.store, site.migration)
    is_repeated = last is not None and (
        (last.epoch, last.version, last.is_confirmed, last.error)
        == (failed.epoch, failed.version, False, failed.error))
    if not is_repeated:
        publications.save(site.store, failed)

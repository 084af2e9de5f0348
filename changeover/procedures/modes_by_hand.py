"""Going to a mode or a percentage by hand, without gates, while no cutover runs.

The command line and the console's pages call the same here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import BUCKETS, Change, Mode, RoutingState
from changeover.domain.run_ends import Carrier
from changeover.domain.stages import change_for, everyone, is_ahead, shadow_buckets
from changeover.errors import InvalidInput, Refused
from changeover.plan.model import PhaseKind, Stage
from changeover.plan.units import parse_percent
from changeover.procedures import baseline, by_hand, hook_log, members, waiting
from changeover.procedures.by_hand import Done
from changeover.site.site import Site
from changeover.store import carriers, cutovers, routing

Ended = Callable[[Site, Carrier | None], str]
"""Says how the run that carries a cutover has ended; empty while it has not."""


def advance(
    site: Site, by: Author, percent: str | None, ended: Ended, *, route: str | None = None
) -> Done:
    """Move more users to the candidate.

    Args:
        site: The migration.
        by: Who wants it, and why.
        percent: Share of users; None: the plan's next stage.
        ended: Says how a cutover's run has ended.
        route: Only this route; None: everything without a place of its own.

    Raises:
        Refused: A cutover decides, or another member of the group goes first.
        InvalidInput: It is no percentage.
    """
    # two that move users at once would undo each other's stages
    refuse_in_cutover(site, "not advanced", ended)
    waiting.refuse_now(site, "not advanced", clock.now())
    state = routing.read(site.store, site.migration)
    # a first step may be the shadow stage; with users on the candidate it would be one back
    may_shadow = state.mode is Mode.BASELINE_ONLY
    if route is None:
        change = _advance_to(site, state, percent, may_shadow=may_shadow)
    else:
        change = _advance_route(site, state, route, percent)
    members.refuse_leaving(site, state, change, "not advanced")
    notes = hook_log.not_run_by_hand(site.plan, state, change)
    return by_hand.moved(site, change, by, notes=tuple(notes))


def enter(site: Site, by: Author, wanted: Mode, percent: str | None, ended: Ended) -> Done:
    """Go to a mode.

    Args:
        site: The migration.
        by: Who wants it, and why.
        wanted: The mode; `baseline_only` is `leave`.
        percent: Share of users in `gradual`; None: the plan's next stage.
        ended: Says how a cutover's run has ended.

    Raises:
        Refused: A cutover decides, or another member of the group goes first.
        InvalidInput: The mode has no percentage, or it is none.
    """
    if wanted is Mode.BASELINE_ONLY:
        return leave(site, by, ended)
    refusal = f"{wanted} was not enabled"
    refuse_in_cutover(site, refusal, ended)
    waiting.refuse_now(site, refusal, clock.now())
    if percent is not None and wanted is not Mode.GRADUAL:
        raise InvalidInput(
            f"mode {wanted} has no percentage",
            where="--percent", allowed="gradual")
    state = routing.read(site.store, site.migration)
    change = Change(mode=wanted)
    if wanted is Mode.CANDIDATE_ONLY:
        change = everyone(site.plan)
    elif wanted is Mode.GRADUAL:
        change = _advance_to(site, state, percent, may_shadow=False)
    elif site.plan.shadow and wanted in (Mode.SHADOW, Mode.PARALLEL):
        change = Change(mode=wanted, shadow_sample=shadow_buckets(site.plan))
    members.refuse_leaving(site, state, change, refusal)
    notes = hook_log.not_run_by_hand(site.plan, state, change)
    return by_hand.moved(site, change, by, notes=tuple(notes))


def leave(site: Site, by: Author, ended: Ended) -> Done:
    """Go back to baseline_only in good order.

    Raises:
        Refused: A cutover decides, or other members of the group followed this one.
    """
    refusal = "the candidate was not disabled"
    refuse_in_cutover(site, refusal, ended)
    change = Change(mode=Mode.BASELINE_ONLY)
    members.refuse_leaving(site, routing.read(site.store, site.migration), change, refusal)
    # users are about to need it: a baseline that was taken out of use is started first
    baseline.bring_back(site, actor=by.actor)
    notes = []
    for each in hook_log.left(site):
        way = f"lever {each.lever} would undo it, and a rollback does"
        notes.append(f"{each.step} is not undone; {way}")
    return by_hand.moved(site, change, by, notes=tuple(notes))


def refuse_in_cutover(site: Site, what: str, ended: Ended) -> None:
    """Refuse to move users by hand while a cutover decides; a dead one is ended first."""
    running = cutovers.active(site.store, site.migration)
    if running is None:
        return
    carrier = carriers.one(site.store, site.migration, cutovers.subject(running.id))
    because = f"{what} because cutover {running.id}"
    if end := ended(site, carrier):
        raise Refused(
            f"{because} is not ended, and nobody carries it on. {end}")
    answer, stop = "`changeover approve`", "`changeover rollback`"
    raise Refused(
        f"{because} decides by its gates",
        next_step=f"Answer it with {answer}, or end it with {stop}")


def _advance_to(
    site: Site, state: RoutingState, percent: str | None, *, may_shadow: bool
) -> Change:
    """Return the change to the wanted percentage, or to the plan's next stage."""
    if percent is None:
        stage = _next_stage(site, state, may_shadow)
        return change_for(stage, site.plan, state.epoch)
    weight = _buckets(percent)
    if weight == BUCKETS:
        return replace(everyone(site.plan), expected_epoch=state.epoch)
    # segments stay those that are moved when this is written, not when it was read
    return Change(mode=Mode.GRADUAL, weight=weight, expected_epoch=state.epoch)


def _buckets(percent: str) -> int:
    try:
        return int(parse_percent(percent) * 100)
    except ValueError as error:
        raise InvalidInput(str(error), where="--percent") from None


def _advance_route(
    site: Site, state: RoutingState, name: str, percent: str | None
) -> Change:
    """Return the change that moves one route, and nothing else.

    Raises:
        InvalidInput: No such route has a place of its own, or it is no percentage.
        Refused: It is moved with everything else now, or no stage moves more of it.
    """
    route = site.plan.route(name)
    if route is not None and route.move == "together" and name in state.kept_routes:
        return _given_back(state, name, percent)
    if route is None or route.move != "alone":
        known = ", ".join(each.name for each in site.plan.routes if each.move == "alone")
        why = "is not defined" if route is None else f"has no place of its own (move: {route.move})"
        raise InvalidInput(f"route {name!r} {why}", where="--route",
                           allowed=known or "none, the plan has no such route")
    if state.mode is Mode.CANDIDATE_ONLY and name not in state.kept_routes:
        raise Refused("not advanced because the candidate serves everyone already",
                      next_step=f"`changeover rollback --scope route:{name}` takes it back alone")
    weight = _next_share(site, state, name) if percent is None else _buckets(percent)
    mode = state.mode if state.mode is Mode.CANDIDATE_ONLY else Mode.GRADUAL
    if mode is Mode.CANDIDATE_ONLY and weight != BUCKETS:
        raise InvalidInput(f"{name} was rolled back while everyone else is at the candidate",
                           where="--percent", allowed="100")
    # the rest stays where it is when this is written, not where it was read
    return Change(mode=mode, routes=((name, weight),), expected_epoch=state.epoch)


def _given_back(state: RoutingState, name: str, percent: str | None) -> Change:
    """Return the change by which a route that went back alone moves with everything else again."""
    if percent is not None and _buckets(percent) != BUCKETS:
        raise InvalidInput(f"{name} has the percentage of everything else", where="--percent",
                           allowed="100, or none: it moves with the rest again")
    kept = tuple(each for each in state.kept_routes if each != name)
    # all that were kept are named: none may have gone back since this was read
    return Change(kept_routes=kept, expected_epoch=state.epoch, expected_version=state.version)


def _next_share(site: Site, state: RoutingState, name: str) -> int:
    if state.mode is Mode.CANDIDATE_ONLY:
        return BUCKETS
    for stage in site.plan.stages():
        if name in stage.routes and stage.split > state.buckets_of(name):
            return stage.split
    raise Refused(f"not advanced because no stage of the plan moves more of route {name}",
                  next_step="Give a share with --percent")


def _next_stage(site: Site, state: RoutingState, may_shadow: bool) -> Stage:
    for stage in site.plan.stages():
        # the shadow stage moves nobody: it is a step only for those who may take it
        is_next = is_ahead(stage, state)
        if stage.phase is PhaseKind.SHADOW:
            is_next = may_shadow
        if is_next:
            return stage
    raise Refused("not advanced because the candidate serves everyone already")

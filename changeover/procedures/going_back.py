"""Bringing users back to the baseline by hand: everyone at once, in steps, or a part of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from changeover import clock
from changeover.domain.going_back import ALL, STEPS
from changeover.domain.rollbacks import Cause
from changeover.errors import PublishFailed, Refused, StoreBusy
from changeover.procedures import (
    baseline,
    fleet,
    gradual_return,
    partial_rollback,
    retirement_note,
    rollback,
)
from changeover.procedures.by_hand import Done
from changeover.site.site import Site
from changeover.store import heartbeats, returns

SILENT_AFTER = timedelta(seconds=15)
"""The observer gives a sign of life every 5 s."""
BY_THE_STORE = (
    "there is no gateway on this machine: every one elsewhere that gives signs of life has "
    "confirmed it")


def by_scope(site: Site, scope: str, cause: Cause, occasion: str) -> Done:
    """Bring back those users whom a scope names.

    Args:
        site: The migration.
        scope: One of `domain.going_back.scopes`.
        cause: Who decided, and what happened.
        occasion: Names this rollback: a part goes back once for each.

    Raises:
        Refused: There is nothing to go back from, or nobody who would carry it on.
        PublishFailed: The state is changed, but the gateway did not confirm it.
    """
    if scope == ALL:
        return at_once(site, cause)
    if scope == STEPS:
        return in_steps(site, cause)
    text = partial_rollback.move_back(
        site, scope, cause.reason, occasion, actor=cause.actor)
    return Done(text, {"scope": scope}, _notes(site))


def at_once(site: Site, cause: Cause) -> Done:
    """Send everyone to the baseline; a store that is busy follows later.

    Raises:
        PublishFailed: The state is changed, but the gateway did not confirm it.
        StoreBusy: The store is busy, and the baseline must be brought back first.
        Refused: The baseline was retired.
    """
    try:
        started = rollback.start(site, cause)
    except StoreBusy as busy:
        # users first: the store follows, see decision record 18
        entry = _move_first(site, cause, busy)
        later = f"the observer records it there later ({busy.what})"
        text = f"everyone is at the baseline; the store is busy, {later}"
        return Done(text, entry)
    # users may still be on the candidate, so this is an error although the state is changed
    if started.publication is None:
        what = "the routing state says rollback, but the gateway"
        raise PublishFailed(
            f"{what}: {started.problem}",
            next_step="Try again with --break-glass")
    text = started.state.describe()
    data = {"state": text, "epoch": started.state.epoch}
    if site.gateway.is_here:
        return Done(f"everyone is at the baseline: {text}", data, _notes(site))
    return Done(f"everyone is sent to the baseline: {text}", data, _notes(site))


def in_steps(site: Site, cause: Cause) -> Done:
    """Begin to send users back in steps, which the observer carries on.

    Raises:
        Refused: No observer runs, or the plan does not say how users return.
    """
    now = clock.now()
    known = heartbeats.of(site.store, site.migration)
    # an observer takes the steps, any of them: without one nobody would come back
    alive = [beat for beat in known if beat.service.partition(" ")[0] == "observer"
             and now - beat.at <= SILENT_AFTER]
    if not alive:
        why = "no observer runs, which would make them"
        raise Refused(
            f"not rolled back in steps because {why}",
            next_step="Bring everyone back at once with `changeover rollback`")
    started = gradual_return.begin(site, cause)
    steps = returns.schedule(site.store, started.state)
    state = started.state
    text = f"users return to the baseline: {state.describe()}"
    until = None
    if steps:
        until = steps.end.isoformat()
        text += f"; the last users return at {steps.end:%T} UTC"
    # the state is changed all the same: the observer publishes it
    if started.problem:
        text += f" (not confirmed yet: {started.problem})"
    return Done(text, {
        "state": state.describe(), "epoch": state.epoch, "until": until},
        fleet.silent_notes(site))


def _notes(site: Site) -> tuple[str, ...]:
    """Return what is known of gateways elsewhere after users were sent back."""
    here = () if site.gateway.is_here else (BY_THE_STORE,)
    return (*here, *fleet.silent_notes(site))


def _move_first(site: Site, cause: Cause, busy: StoreBusy) -> dict[str, Any]:
    """Send everyone to the baseline although the store is busy; it must be there for them.

    Raises:
        StoreBusy: The baseline was taken out of use: bringing it back needs the store.
        Refused: It was retired and is not well.
    """
    # bringing it back needs the store: this way out is not open
    if baseline.is_out_of_use(site):
        raise busy
    retirement_note.refuse(site.gateway.files)
    return site.gateway.break_glass(
        reason=cause.reason, actor=cause.actor, busy=busy.what, now=clock.now())

"""Looking up what the pages of actions know of the migration, and what its traffic was."""

from __future__ import annotations

from datetime import datetime, timedelta

from changeover import clock
from changeover.analysis import distinct
from changeover.analysis.window import Met, Window, fewest
from changeover.console.actions import Situation
from changeover.console.effects import OVER, Counted, Traffic
from changeover.domain.instructions import open_pause
from changeover.domain.rollout import Cutover, StageRecord, StageStatus
from changeover.domain.routing import System
from changeover.errors import StoreError
from changeover.plan.model import Stage
from changeover.procedures import steering
from changeover.site.site import Site
from changeover.store import (
    approvals,
    cutovers,
    flags,
    freezes,
    instructions,
    routing,
    samples,
)


def of_site(site: Site) -> Situation:
    """Return how the migration stands now.

    Raises:
        StoreError: The store cannot be read.
    """
    store, migration, now = site.store, site.migration, clock.now()
    state, cutover = routing.read(store, migration), cutovers.active(store, migration)
    asked = approvals.open_for(store, migration)
    # after a rollback a question may be open still, and nobody acts on its answer
    if asked is not None and asked.epoch != state.epoch:
        asked = None
    pause = open_pause(instructions.all_of(store, cutover.id)) if cutover else None
    try:
        measured = traffic(site, now)
    # what cannot be counted is unknown, and keeps nobody from going back
    except StoreError:
        measured = Traffic()
    return Situation(
        site.plan, now, state, measured, cutover,
        _soaking(site, cutover), pause,
        freezes.active(store, migration, now=now), asked,
        flags.read(store, migration, site.environment), _ahead(site, cutover))


def brief(site: Site) -> Situation:
    """Return what must be known to bring everyone back, and nothing that takes time.

    Raises:
        StoreError: The store cannot be read.
    """
    return Situation(
        site.plan, clock.now(), routing.read(site.store, site.migration))


def _ahead(site: Site, cutover: Cutover | None) -> tuple[Stage, ...]:
    return tuple(steering.later_stages(site, cutover)) if cutover else ()


def _soaking(site: Site, cutover: Cutover | None) -> StageRecord | None:
    if cutover is None:
        return None
    for record in reversed(cutovers.stages(site.store, cutover.id)):
        if record.status is StageStatus.SOAKING:
            return record
    return None


def traffic(site: Site, now: datetime) -> Traffic:
    """Return what the gateway saw in the last hour."""
    both = _both(site, now, None)
    measured = timedelta(seconds=max(each.watched for each in both))
    segments = {}
    for name in site.plan.routing.segments:
        counted = _counted(_both(site, now, name))
        # counted apart only where a check or a trigger asks for the segment
        if counted.requests:
            segments[name] = counted
    return Traffic(min(measured, OVER), _counted(both), segments)


def _both(site: Site, now: datetime, segment: str | None) -> list[Window]:
    found = []
    for system in System:
        found.append(samples.window(
            site.store, site.migration, system,
            start=now - OVER, end=now, segment=segment))
    return found


def _counted(windows: list[Window]) -> Counted:
    numbers: set[int] = set()
    requests = 0
    for each in windows:
        requests += each.requests
        numbers.update(each.users.get(Met.ANSWER, ()))
    # the smallest of both systems are the smallest of all
    return Counted(requests, distinct.count(fewest(numbers)))

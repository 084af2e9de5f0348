"""What must hold before the first user moves: every reason at once, and nobody was moved."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from changeover import clock
from changeover.backup.from_plan import place_of, refuse_scratch
from changeover.domain.gateway_nodes import MAIN
from changeover.domain.health import Status
from changeover.domain.messages import Severity
from changeover.domain.procedures import StepStatus
from changeover.errors import ChangeoverError, InvalidInput, Refused
from changeover.notify.channels import channels_of, send
from changeover.plan.procedures import PreconditionsSpec
from changeover.plan.units import format_duration, format_size
from changeover.procedures.steps import CutoverRun, Found
from changeover.procedures.suites import SuiteResult, problems_of
from changeover.procedures.target_kinds import unreachable_kinds
from changeover.site.site import Site
from changeover.store import (
    firings,
    gateway_nodes,
    health_results,
    main_gateways,
    plans,
    steps,
)

SERIOUS = (Status.CRITICAL, Status.ERROR)
"""The states of a health check that stop a cutover from beginning, and from being a success."""


def check(run: CutoverRun, suite: SuiteResult | None) -> str:
    """See that everything holds that the plan wants before the first user moves.

    Args:
        run: The cutover.
        suite: What the plan's suite found, None when it names none.

    Returns:
        What was found.

    Raises:
        Refused: Something does not hold; every reason is named, and nobody was moved.
    """
    spec = run.site.plan.cutover.preconditions

    def check() -> Found:
        # every reason at once: people mend all of them before the next try
        problems = [
            *_outdated(run.site), *_undone(run.site), *unreachable_kinds(run.site.plan),
            *_unwritable(run.site), *problems_of(suite)]
        if spec is not None:
            problems += _problems(run.site, spec)
        if problems:
            raise ChangeoverError("; ".join(problems))
        return "everything holds that the plan wants", {}

    found = run.once("preconditions", check)
    if found.status is not StepStatus.DONE:
        why = f"not begun because {found.detail}"
        raise Refused(
            why, next_step="Mend it and run cutover/main again; nobody was moved")
    return found.detail


def _problems(site: Site, spec: PreconditionsSpec) -> list[str]:
    """Return one sentence for each precondition that does not hold."""
    return [
        *_open_alerts(site, spec), *_room(site, spec),
        # last: whoever is reached hears that a cutover is about to begin
        *_rehearsed(site, spec), *_reachable(site, spec)]


def _outdated(site: Site) -> Iterator[str]:
    """Whatever the plan wants: users whom such a gateway cannot tell apart would not move."""
    if site.gateway.is_outdated(site.plan):
        yield ("the gateway runs with the listener of an earlier plan: end `changeover up` with "
               "Ctrl-C and start it again")
    for node in gateway_nodes.fleet(site.store, site.migration).outdated:
        yield (f"gateway node {node.name} runs with the listener of an earlier plan: end "
               "`changeover gateway` there (SIGTERM, it drains) and start it again")


def _undone(site: Site) -> Iterator[str]:
    """What only `changeover up` does: without it, users would move without what protects them."""
    if not site.is_elsewhere:
        return
    live = main_gateways.all_gateways(site.store, site.migration).live
    if any(each.name == MAIN for each in live):
        return
    wanted = {"back-pressure (`health.back_pressure`)": site.plan.health.back_pressure is not None,
              "steady load (`hooks.during`)": any(
                  stage.hooks.during for stage in site.plan.stages())}
    for what, is_wanted in wanted.items():
        if is_wanted:
            yield (f"nobody does the plan's {what}: start `changeover up` on one machine, or take "
                   "it out of the plan")


def _unwritable(site: Site) -> Iterator[str]:
    """Before anything is backed up, which may take an hour."""
    if site.plan.cutover.backup and (problem := place_of(site).problem(site.migration)):
        yield problem


def _open_alerts(site: Site, spec: PreconditionsSpec) -> Iterator[str]:
    # an alert of today may be the reason for tomorrow's rollback
    since = clock.now() - spec.quiet
    store, migration = site.store, site.migration
    for each in firings.all_of(store, migration, since=since):
        at = f"{each.fired_at:%H:%M:%S} UTC"
        yield f"trigger {each.trigger} fired at {at}: {each.reason}"
    # no time of quiet: the plan does not want to know
    if not spec.quiet:
        return
    for result in health_results.latest(store, migration):
        if result.status in SERIOUS:
            yield f"health check {result.check} is {result.status}: {result.detail}"


def _room(site: Site, spec: PreconditionsSpec) -> Iterator[str]:
    # what goes to an address is made in the home first
    kept = place_of(site)
    targets = [kept.folder] if site.plan.cutover.backup and not kept.address else []
    try:
        if targets:
            refuse_scratch(site)
    except InvalidInput as error:
        targets = []
        yield str(error)
    for place in {site.home.root, *targets}:
        try:
            # made here: a folder that cannot be made would fail the backup halfway
            place.mkdir(parents=True, exist_ok=True)
            free = psutil.disk_usage(str(place)).free
        except OSError as error:
            yield f"{place} cannot be used: {error.strerror}"
            continue
        if free < spec.disk:
            has, needed = format_size(free), format_size(spec.disk)
            yield f"{place} has {has} free, less than {needed}"


def _rehearsed(site: Site, spec: PreconditionsSpec) -> Iterator[str]:
    if spec.rehearsed_within is None:
        return
    newest = steps.latest_rehearsal(site.store, site.migration)
    within = format_duration(spec.rehearsed_within)
    how = "run rollback/main with rehearsal=true"
    if newest is None:
        yield f"the rollback was never rehearsed (wanted within {within}): {how}"
        return
    ended = newest.ended_at
    if clock.now() - ended > spec.rehearsed_within:
        yield f"the rollback was rehearsed at {ended:%F %T} UTC, longer ago than {within}"
    # with other levers it would be another rollback
    elif newest.data.get("plan") != plans.digest_of(site.plan):
        yield f"the rollback was rehearsed with another plan: {how}"


def _reachable(site: Site, spec: PreconditionsSpec) -> Iterator[str]:
    if not spec.reaches_approvers:
        return
    channels, problems = channels_of(site.plan.notify)
    yield from problems
    title = f"a cutover of {site.migration} is about to begin"
    body = f"migration: {site.migration}"
    facts = {"migration": site.migration}
    for channel in channels:
        # critical: by the way on which people would be called in the night
        problem = send(
            channel, title=title, body=body,
            severity=Severity.CRITICAL, facts=facts)
        if problem:
            yield problem

"""Before the first user moves: preconditions, backup, and the way back without anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil

from changeover import clock
from changeover.backup.check import verify
from changeover.backup.from_plan import items_of, servers_of, target_of
from changeover.backup.make import make_backup
from changeover.domain.messages import Severity
from changeover.domain.procedures import StepStatus, of_cutover
from changeover.errors import ChangeoverError, EnvironmentProblem, Refused
from changeover.plan.procedures import PreconditionsSpec
from changeover.plan.units import format_duration, format_size
from changeover.procedures import retirement_note, rollback_script
from changeover.store import firings, health_results, plans, steps
from tasks.procedure import Found, once
from tasks.reporting import BackupBar
from tasks.runtime import Runtime, runtime_of
from tasks.steps import step
from tasks.validating import Result


@step(name="preconditions")
def check_preconditions(migration: str, cutover_id: int, suite: Result | None) -> str:
    """See that everything holds that the plan wants before the first user moves.

    Args:
        migration: Name of the migration.
        cutover_id: The cutover.
        suite: What the plan's suite found, None when it names none.

    Returns:
        What was found.

    Raises:
        Refused: Something does not hold; every reason is named, and nobody was moved.
    """
    runtime = runtime_of(migration)
    spec = runtime.plan.cutover.preconditions

    def look() -> Found:
        problems = [] if suite is None or suite["verdict"] == "pass" else [
            f"suite {suite['suite']}: {suite['reason']}"]
        problems += _problems(runtime, spec) if spec else []
        if problems:
            raise ChangeoverError("; ".join(problems))
        return "everything holds that the plan wants", {}

    found = once(runtime, of_cutover(cutover_id), "preconditions", look)
    if found.status is not StepStatus.DONE:
        raise Refused(f"not begun because {found.detail}",
                      next_step="Mend it and run cutover/main again; nobody was moved")
    return found.detail


def _problems(runtime: Runtime, spec: PreconditionsSpec) -> list[str]:
    """Return one sentence for each precondition that does not hold."""
    checks: list[Callable[[Runtime, PreconditionsSpec], Iterator[str]]] = [
        _open_alerts, _room, _rehearsed, _reachable]
    return [problem for check in checks for problem in check(runtime, spec)]


def _open_alerts(runtime: Runtime, spec: PreconditionsSpec) -> Iterator[str]:
    since = clock.now() - spec.quiet
    for firing in firings.all_of(runtime.store, runtime.migration, since=since):
        yield f"trigger {firing.trigger} fired at {firing.fired_at:%H:%M:%S} UTC: {firing.reason}"
    if not spec.quiet:
        return
    for result in health_results.latest(runtime.store, runtime.migration):
        if result.status in ("critical", "error"):
            yield f"health check {result.check} is {result.status}: {result.detail}"


def _room(runtime: Runtime, spec: PreconditionsSpec) -> Iterator[str]:
    targets = [target_of(runtime.site)] if runtime.plan.cutover.backup else []
    for place in {runtime.home.root, *targets}:
        try:
            place.mkdir(parents=True, exist_ok=True)
            free = psutil.disk_usage(str(place)).free
        except OSError as error:
            yield f"{place} cannot be used: {error.strerror}"
            continue
        if free < spec.disk:
            yield f"{place} has {format_size(free)} free, less than {format_size(spec.disk)}"


def _rehearsed(runtime: Runtime, spec: PreconditionsSpec) -> Iterator[str]:
    if spec.rehearsed_within is None:
        return
    newest = steps.latest_rehearsal(runtime.store, runtime.migration)
    within = format_duration(spec.rehearsed_within)
    if newest is None:
        yield f"the rollback was never rehearsed (wanted within {within}): run rollback/main " \
              "with rehearsal=true"
    elif clock.now() - newest.ended_at > spec.rehearsed_within:
        yield f"the rollback was rehearsed at {newest.ended_at:%F %T} UTC, longer ago than {within}"
    elif newest.data.get("plan") != plans.digest_of(runtime.plan):
        yield "the rollback was rehearsed with another plan: run rollback/main with rehearsal=true"


def _reachable(runtime: Runtime, spec: PreconditionsSpec) -> Iterator[str]:
    if spec.reaches_approvers:
        yield from runtime.notifier.notify(
            f"a cutover of {runtime.migration} is about to begin",
            {"migration": runtime.migration}, severity=Severity.CRITICAL)


@step(name="back up")
def back_up(migration: str, cutover_id: int) -> str:
    """Make the plan's backup and restore it into a scratch place to see that it is good.

    Returns:
        Where it is.

    Raises:
        Refused: It could not be made or is not good; nobody was moved.
    """
    runtime = runtime_of(migration)
    if runtime.plan.cutover.backup is None:
        return ""

    def make() -> Found:
        items = items_of(runtime.site)
        bar = BackupBar(migration, len(items))
        made = make_backup(
            items, target_of(runtime.site),
            name=f"{migration}-{of_cutover(cutover_id)}", now=clock.now(), tell=bar,
        )
        found = verify(made.path, servers=servers_of(items))
        bad = [f"{item.name}: {item.detail}" for item in found.items if not item.is_good]
        if bad:
            raise ChangeoverError(f"the backup {made.path} is not good: {'; '.join(bad)}")
        total = sum(item.size for item in made.items)
        return (f"{len(made.items)} items, {format_size(total)}, verified by restoring them",
                {"path": str(made.path)})

    found = once(runtime, of_cutover(cutover_id), "backup", make)
    if found.status is not StepStatus.DONE:
        raise Refused(f"not begun because {found.detail}",
                      next_step="Mend it and run cutover/main again; nobody was moved")
    return str(found.data["path"])


@step(name="write rollback.sh")
def write_way_back(migration: str, cutover_id: int) -> str:
    """Write `rollback.sh`, which needs nothing of us to run, and say where it is."""
    runtime = runtime_of(migration)
    folder = runtime.home.root / "rollback" / of_cutover(cutover_id)

    def write() -> Found:
        retirement_note.forget(runtime.home.gateway_files)  # of an earlier migration's baseline
        path = rollback_script.write_rescue(runtime.plan, runtime.home.gateway_files, folder)
        return f"sh {path} brings everyone back without Prefect and database", {"path": str(path)}

    found = once(runtime, of_cutover(cutover_id), "rollback.sh", write)
    if found.status is not StepStatus.DONE:
        raise EnvironmentProblem(found.detail)
    return found.detail

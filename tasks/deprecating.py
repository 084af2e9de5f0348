"""Retiring the baseline: when it is due, who agrees, and the levers that do it."""

from __future__ import annotations

from datetime import datetime, timedelta

from changeover import clock
from changeover.analysis.window import ErrorClass
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import Mode
from changeover.domain.run_ends import Work
from changeover.errors import ChangeoverError, Refused, Unreachable
from changeover.plan.model import PhaseKind, PhaseSpec
from changeover.plan.units import format_duration
from changeover.procedures import baseline, retirement_note
from changeover.procedures.levers import pull_lever
from changeover.store import approvals, audit, carriers, cutovers, routing
from tasks.approval import ask_about
from tasks.procedure import Found, once
from tasks.runtime import Runtime, own_run_id, root_run_id, runtime_of
from tasks.steps import step
from tasks.verifying import is_measured_until

SUBJECT = "retire"


@step(name="when it is due")
def retirement_due(migration: str) -> datetime:
    """Return when the baseline may be retired.

    Raises:
        Refused: The plan has no deprecation, or the candidate does not serve everyone.
    """
    runtime = runtime_of(migration)
    phase = _phase(migration)
    state = routing.read(runtime.store, migration)
    newest = cutovers.latest(runtime.store, migration)
    is_promoted = newest is not None and newest.status is CutoverStatus.PROMOTED
    if state.mode is not Mode.CANDIDATE_ONLY or newest is None or not is_promoted:
        raise Refused(
            f"not begun because {migration} is at {state.describe()}",
            next_step="Finish the cutover first: `prefect deployment run cutover/main`",
        )
    if newest.ended_at is None or phase.after is None:
        raise Refused("not begun because the promotion has no time")
    return newest.ended_at + phase.after


@step(name="begin retirement")
def begin_retirement(migration: str) -> str:
    """Note that this run carries the retirement; the one before it may do nothing more.

    Returns:
        What it is called in the store.
    """
    runtime = runtime_of(migration)
    subject = f"{Work.RETIREMENT} {_promoted(runtime).id}"
    carriers.take(runtime.store, migration, subject, flow="deprecation",
                  flow_run_id=str(root_run_id()), now=clock.now())
    return subject


@step(name="end retirement")
def end_retirement(migration: str, subject: str) -> None:
    """Note that nothing of the retirement is left to be done."""
    carriers.drop(runtime_of(migration).store, migration, subject, flow_run_id=str(root_run_id()))


def _refuse_other_run(runtime: Runtime) -> None:
    """See that this run carries the retirement still.

    Raises:
        CarriedElsewhere: Another does, or this one was cancelled.
    """
    own = own_run_id()
    if own is not None:
        carriers.refuse_other(carriers.one(
            runtime.store, runtime.migration, f"{Work.RETIREMENT} {_promoted(runtime).id}"), own)


async def ask_to_retire(migration: str) -> str:
    """Suspend until every approver has agreed, or one has not; return the decision.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: Nobody has answered yet.
    """
    phase = _phase(migration)
    question = (
        f"## Retire the baseline of {migration}?\n\nThe candidate has served everyone for "
        f"{format_duration(phase.after) if phase.after else 'a while'}. After this a rollback is "
        f"no longer possible. Levers: {', '.join(phase.levers) or 'none'}.\n\n- **promote**: pull "
        "them.\n- **hold** or **rollback**: leave the baseline as it is.\n"
    )
    runtime = runtime_of(migration)
    decision = await ask_about(
        migration, _promoted(runtime).id, SUBJECT, question,
        needed=phase.approval.approvers if phase.approval else 1, round_=_round(runtime))
    return str(decision.action)


def _round(runtime: Runtime) -> int:
    """Return how often people are asked with this run; the same number after every kill."""
    def count() -> Found:
        asked = [each.round for each in
                 approvals.all_of(runtime.store, _promoted(runtime).id)
                 if each.stage == SUBJECT and each.decision is not None]
        return "how often people are asked", {"round": max(asked, default=0) + 1}

    return int(once(runtime, f"deprecation-{root_run_id()}", "round", count).data["round"])


@step(name="see that nobody calls it")
def check_unused(migration: str) -> None:
    """See that the baseline answered nobody in the plan's period, before people are asked.

    Raises:
        Refused: It did.
        Unreachable: Nobody counted.
    """
    _refuse_while_called(runtime_of(migration), _phase(migration))


@step(name="retire the baseline")
def pull_levers(migration: str) -> str:
    """Pull the phase's levers in order, stopping at the first that fails.

    Raises:
        Refused: Somebody still calls the baseline, or a rollback sent users there meanwhile.
        ChangeoverError: A lever failed; the ones after it were not pulled.
    """
    runtime = runtime_of(migration)
    phase = _phase(migration)
    levers, occasion = phase.levers, baseline.retirement_of(_promoted(runtime))
    _refuse_while_called(runtime, phase)
    _refuse_unless_full(runtime)
    _refuse_other_run(runtime)
    # noted first: a rollback from now on does not trust the baseline unless it is well
    audit.record_once(
        runtime.store, migration, key=baseline.begun(occasion), actor="deprecation/main",
        kind="baseline.retiring", data={"levers": levers}, now=clock.now())
    retirement_note.note(runtime.home.gateway_files, runtime.plan, now=clock.now())
    for name in levers:
        _refuse_unless_full(runtime)
        _refuse_other_run(runtime)
        if problem := pull_lever(runtime.store, runtime.plan, name, actor="deprecation/main",
                                 occasion=occasion):
            raise ChangeoverError(problem, next_step="Mend it and run deprecation/main again")
    audit.record_once(
        runtime.store, migration, key=occasion, actor="deprecation/main",
        kind="baseline.retired", data={"levers": levers}, now=clock.now(),
    )
    return f"the baseline is retired: {', '.join(levers) or 'there was no lever to pull'}"


def _refuse_while_called(runtime: Runtime, phase: PhaseSpec) -> None:
    """Refuse to retire a baseline that answered somebody in the plan's period.

    Raises:
        Refused: It did.
        Unreachable: The observer has not counted yet who called it up to now.
    """
    now = clock.now()
    if not is_measured_until(runtime, now):
        raise Unreachable(
            f"nobody counted who called the baseline up to {now:%F %T} UTC",
            next_step="Look whether the observer runs: `changeover status`")
    period = phase.after or timedelta(0)
    start = max(now - period, _promoted(runtime).ended_at or now)
    baseline = runtime.metrics.window("baseline", start=start, end=now)
    candidate = runtime.metrics.window("candidate", start=start, end=now)
    calls = baseline.requests + candidate.errors.get(ErrorClass.SAVED, 0)
    if calls:
        raise Refused(
            f"not retired because the baseline answered {calls} requests since "
            f"{start:%F %T} UTC ({baseline.requests} of its own, the others when the candidate "
            "failed)", next_step="Find who calls it, then run deprecation/main again")


def _refuse_unless_full(runtime: Runtime) -> None:
    """Refuse to pull a lever of a baseline that users may be sent to."""
    state = routing.read(runtime.store, runtime.migration)
    if state.mode is not Mode.CANDIDATE_ONLY:
        raise Refused(
            f"not retired because {runtime.migration} is at {state.describe()}",
            next_step="Bring back by hand what levers took away; see `changeover history`")


def _promoted(runtime: Runtime) -> Cutover:
    newest = cutovers.latest(runtime.store, runtime.migration)
    if newest is None or newest.ended_at is None:
        raise Refused("not retired because no cutover was promoted")
    return newest


def _phase(migration: str) -> PhaseSpec:
    phase = runtime_of(migration).plan.phase(PhaseKind.DEPRECATION)
    if phase is None:
        raise Refused(f"the plan of {migration} has no phase deprecation")
    return phase

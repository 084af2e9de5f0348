"""What people tell a running cutover to do: stored first, then its sleeping run is woken."""

from __future__ import annotations

from datetime import datetime

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain import instructions
from changeover.domain.approvers import rules_of, stage_of
from changeover.domain.instructions import InstructionKind
from changeover.domain.rollout import Cutover, StageAction, StageRecord, StageStatus
from changeover.domain.run_ends import PrefectState
from changeover.errors import InvalidInput, Refused, Unreachable
from changeover.plan.model import Stage
from changeover.procedures import waiting
from changeover.procedures.steps import CutoverRun
from changeover.site.prefect_rows import FlowRun
from changeover.site.site import Site
from changeover.store import approvals, cutovers, freezes, leaving_out, upcoming
from changeover.store import instructions as stored


def running(site: Site) -> Cutover:
    """Return the cutover that runs.

    Raises:
        Refused: None does.
    """
    found = cutovers.active(site.store, site.migration)
    if found is None:
        why = f"nothing was changed because no cutover of {site.migration} runs"
        raise Refused(why, next_step="See `changeover status`")
    return found


def soaking(site: Site, cutover: Cutover) -> StageRecord:
    """Return the stage that soaks now.

    Raises:
        Refused: None does: people are asked, or the cutover is before or behind its stages.
    """
    # the newest first: mostly it is the last one that was entered
    for record in reversed(cutovers.stages(site.store, cutover.id)):
        if record.status is StageStatus.SOAKING:
            return record
    raise Refused(
        "nothing was changed because no stage soaks now",
        next_step="See `changeover status`; "
        "what waits for approval is answered with `changeover approve`")


def later_stage(site: Site, cutover: Cutover, key: str) -> Stage:
    """Return a stage of the plan that can be left out.

    Raises:
        InvalidInput: The plan has no such stage.
        Refused: It is the last one, after which nothing would follow.
    """
    keys = [each.key for each in site.plan.stages()]
    if key not in keys:
        ahead = [each.key for each in later_stages(site, cutover)]
        allowed = ", ".join(ahead) or "none, every stage was entered"
        raise InvalidInput(
            f"the plan has no stage {key}", where="STAGE", allowed=allowed)
    if key == keys[-1]:
        why = f"stage {key} was not skipped because it is the last one"
        raise Refused(
            why, next_step="To leave users where they are, pause the cutover")
    return site.plan.stage(key)


def later_stages(site: Site, cutover: Cutover) -> list[Stage]:
    """Return the stages that can be left out: not entered yet, and not the last one."""
    entered = {each.key for each in cutovers.stages(site.store, cutover.id)}
    return [each for each in site.plan.stages()[:-1] if each.key not in entered]


def wake(site: Site, cutover: Cutover) -> bool:
    """Have the cutover's sleeping run look at the store again, now.

    Returns:
        Whether Prefect was reached; if not, the observer wakes the run within seconds.
    """
    if cutover.flow_run_id is None:
        return True
    now = clock.now()
    try:
        run = site.prefect.run(cutover.flow_run_id)
        waits = run is not None and waiting.is_asleep(run, now)
        if run is not None and (waits or _asks_in_vain(site, cutover, run)):
            said = "a person gave the cutover an instruction"
            site.prefect.schedule(run.id, at=now, name="Continuing", message=said)
    except Unreachable:
        return False
    return True


def oversleeping(site: Site, now: datetime) -> FlowRun | None:
    """Return the cutover's run if it sleeps although it need not any more.

    So an instruction takes effect whose command was killed before it woke the run, and a member
    of a group goes on when another one has come far enough.

    Raises:
        Unreachable: Prefect did not answer.
    """
    cutover = cutovers.active(site.store, site.migration)
    if cutover is None or cutover.flow_run_id is None:
        return None
    given = stored.all_of(site.store, cutover.id)
    # nobody ever gave an instruction: Prefect need not be asked
    is_steered = bool(given) or freezes.was_any(site.store, site.migration)
    if not is_steered and site.plan.group is None:
        return None
    # the hours of the stage that comes next, which may have others than the plan
    stage = upcoming.next_stage(site.store, cutover.id, site.plan)
    wait = waiting.why_wait(CutoverRun(site, cutover), stage, now)
    # mostly so for a long time: Prefect need not be asked
    if wait is not None and wait.name in _BY_PEOPLE:
        return None
    run = site.prefect.run(cutover.flow_run_id)
    if run is None or not waiting.is_asleep(run, now):
        return run if run is not None and _asks_in_vain(site, cutover, run) else None
    # nothing stops it any more, see above; what it waits for next stands in its state then
    if run.state_name in _BY_PEOPLE:
        return run
    is_soaking = run.state_name == waiting.SOAKING
    if wait is not None or (is_soaking and not _is_soaked(site, cutover, now)):
        return None
    return run


_BY_PEOPLE = (waiting.PAUSED, waiting.FROZEN)


def _asks_in_vain(site: Site, cutover: Cutover, run: FlowRun) -> bool:
    """Whether a run asks people about a hook of a stage that people have left out since."""
    if run.state_type != PrefectState.PAUSED:
        return False
    asked = approvals.open_for(site.store, site.migration)
    if asked is None or asked.cutover_id != cutover.id:
        return False
    key = stage_of(site.plan, asked.stage)
    # about a stage itself people are asked when it was entered: then it is too late
    if key == asked.stage or cutovers.stage(site.store, cutover.id, key) is not None:
        return False
    stage = site.plan.stage(key)
    return upcoming.is_left_out(site.store, cutover.id, site.plan, stage)


def _is_soaked(site: Site, cutover: Cutover, now: datetime) -> bool:
    for each in cutovers.stages(site.store, cutover.id):
        # a moment later: Prefect wakes the run itself when its time has come
        is_late = each.soak_until + waiting.SOON < now
        if each.status is StageStatus.SOAKING and is_late:
            return True
    return False


def skipped(run: CutoverRun, stage: str) -> StageDecision | None:
    """Return the decision about a stage that people left out; None when they did not.

    Raises:
        StaleEpoch: A rollback came first.
    """
    spec = run.site.plan.stage(stage)
    # asked first: mostly nobody said so, and the stage needs no lock
    if not _said(run, InstructionKind.SKIP, stage):
        return None
    run.current_state()
    store = run.site.store
    if not leaving_out.leave_out(store, run.id, spec, now=clock.now()):
        return None
    record = cutovers.stage(store, run.id, stage)
    reason = record.reason if record else "skipped"
    return StageDecision(stage, StageAction.PROMOTE, reason)


def promoted_early(run: CutoverRun, record: StageRecord) -> str:
    """Return who ended the stage's present soak, and why; empty when too few people did."""
    store, stage = run.site.store, run.site.plan.stage(record.key)
    given = stored.all_of(store, run.id)
    # of this round: who ended an earlier soak has said nothing of this one
    asked = (InstructionKind.PROMOTE_NOW, record.key, record.round)
    people = rules_of(run.site.plan, stage.key).counting(instructions.people(given, *asked))
    if len(people) < stored.enough(store, run.id, stage):
        return ""
    return instructions.described(given, *asked)


def _said(run: CutoverRun, kind: InstructionKind, stage: str) -> bool:
    for each in stored.all_of(run.site.store, run.id):
        if (each.kind, each.stage) == (kind, stage):
            return True
    return False



"""A cutover that begins with a later stage: where an earlier one was, or with a phase alone."""

from __future__ import annotations

from changeover import clock
from changeover.domain.rollout import PASSED, StageRecord, StageStatus
from changeover.domain.stages import takes_back
from changeover.errors import InvalidInput, Refused
from changeover.plan.model import Stage
from changeover.procedures.approvals import Question, numbered
from changeover.procedures.steps import CutoverRun
from changeover.store import cutovers, leaving_out, routing


def passed_over(run: CutoverRun, key: str) -> list[Stage]:
    """Return the stages before the one that a cutover is to begin with.

    Args:
        run: The cutover.
        key: Key of the stage to begin with.

    Raises:
        InvalidInput: The plan has no such stage.
        Refused: No earlier cutover of the migration has reached it.
    """
    plan = run.site.plan
    reached = _reached(run)
    keys = [each.key for each in plan.stages()]
    known = ", ".join(each for each in keys if each in reached)
    try:
        wanted = plan.stage(key)
    except KeyError:
        raise InvalidInput(
            f"the plan has no stage {key}", where="from_stage",
            allowed=known or "none: no stage was reached yet") from None
    if key not in reached:
        why = f"not begun at stage {key} because no earlier cutover has reached it"
        raise Refused(
            why, where="from_stage",
            allowed=known or "none: begin with the first stage")
    return plan.stages()[:wanted.index]


def refuse_to_take_back(run: CutoverRun, key: str) -> None:
    """Check that users who are on the candidate already stay there when a stage is entered.

    They are there after `changeover end` or `changeover advance`. Only a rollback and
    `changeover disable` take users back, never the first stage of a cutover.

    Args:
        run: The cutover, which has moved nobody yet.
        key: Key of the stage that it is to begin with.

    Raises:
        Refused: Some would go back, or the stage's mode cannot be entered from there.
    """
    plan, state = run.site.plan, routing.read(run.site.store, run.migration)
    # after a rollback there is nothing to refuse: the cutover ends as rolled back
    if state.epoch != run.epoch or not takes_back(plan.stage(key), state):
        return
    reached = _reached(run)
    fitting = [each.key for each in plan.stages()
               if each.key in reached and not takes_back(each, state)]
    way = "Bring everyone back first with `changeover disable`, or with `changeover rollback`"
    if fitting:
        way = f"Begin where they are with from_stage={fitting[0]}. {way}"
    raise Refused(
        f"not begun at stage {key} because users are on the candidate already "
        f"({state.describe()}), and it would take some of them back", next_step=way)


def _reached(run: CutoverRun) -> dict[str, StageRecord]:
    """Return the newest record of each stage whose users an earlier cutover had moved."""
    found = {}
    # in order, so the newest cutover's record is what stays
    for cutover in cutovers.all_of(run.site.store, run.migration):
        if cutover.id == run.id:
            continue
        for record in cutovers.stages(run.site.store, cutover.id):
            if record.status is not StageStatus.SKIPPED:
                found[record.key] = record
    return found


def question(run: CutoverRun, key: str) -> Question:
    """Return the question to the approvers of every stage that is passed over."""
    stage, over = run.site.plan.stage(key), passed_over(run, key)
    record = _reached(run)[key]
    # of all stages that are left out: none of their approvers may be passed over as well
    needed = max([1, *(each.approvers for each in over)])
    listed = ", ".join(each.title for each in over)
    at = f"{record.entered_at:%F %T} UTC"
    text = (
        f"**Begin cutover {run.id} of migration {run.migration} with {stage.title}, at once?** "
        f"Cutover {record.cutover_id} had reached it on {at}. "
        f"These stages are passed over: {listed}. "
        "The users who had moved then move again, and nobody else; "
        "the gates are judged anew from there.\n\n"
        "*promote* begins there; *hold* and *rollback* begin nothing, "
        "everybody stays where they are.")

    return Question(f"from-{key}", numbered(text, needed), needed)


def unagreed(run: CutoverRun, key: str) -> list[Stage]:
    """Return the stages before one that nobody has agreed to leave since the last rollback.

    Only such as need people's agreement; a phase that is run alone begins behind them.
    """
    store, passed = run.site.store, set()
    for cutover in cutovers.all_of(store, run.migration):
        # what was agreed to before a rollback was about other users, and perhaps another candidate
        if cutover.epoch == run.epoch:
            records = cutovers.stages(store, cutover.id)
            passed |= {each.key for each in records if each.status in PASSED}
    stages = run.site.plan.stages()[:run.site.plan.stage(key).index]
    return [each for each in stages if each.approvers and each.key not in passed]


def question_alone(run: CutoverRun, key: str) -> Question:
    """Return the question to the approvers of the stages before a phase that is run alone."""
    stage, over = run.site.plan.stage(key), unagreed(run, key)
    needed = max([1, *(each.approvers for each in over)])
    listed = ", ".join(each.title for each in over)
    text = (
        f"**Begin cutover {run.id} of migration {run.migration} with {stage.title}, at once?** "
        f"The phase is run alone. Nobody has agreed to leave these stages before it since the "
        f"last rollback: {listed}.\n\n"
        "*promote* begins there; *hold* and *rollback* begin nothing, "
        "everybody stays where they are.")
    return Question(f"from-{key}", numbered(text, needed), needed)


def pass_over(run: CutoverRun, key: str, reason: str) -> None:
    """Close the stages before one as skipped, all of them or none.

    Raises:
        StaleEpoch: A rollback came first.
    """
    run.current_state()
    over = passed_over(run, key)
    said = f"passed over, begun with {key}: {reason}"
    leaving_out.pass_over(
        run.site.store, run.id, over, reason=said, now=clock.now())


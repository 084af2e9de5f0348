"""Hooks around a stage: levers, suites, flags, each a task, once; people when one fails."""

from __future__ import annotations

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.hooks import Hook, When
from changeover.domain.rollout import StageAction, StageStatus
from changeover.procedures import hooks
from changeover.procedures.steering import skipped
from changeover.procedures.steps import CutoverRun
from changeover.procedures.suites import SuiteResult
from changeover.procedures.waiting import following
from changeover.store import cutovers
from tasks.approve import ask_about
from tasks.capacity import before_hook
from tasks.gate import until_allowed
from tasks.steps import come_back, step
from tasks.validate import run_suite


async def before_stage(run: CutoverRun, stage: str) -> StageDecision | None:
    """Carry out what comes before any user is moved into a stage.

    Returns:
        None when the stage may begin; else people's decision to roll back.

    Raises:
        StaleEpoch: A rollback came first.
    """
    return await _carry_out_all(run, stage, When.BEFORE)


async def after_stage(run: CutoverRun, stage: str) -> StageDecision | None:
    """Carry out what comes after a stage's gate, before it is promoted; as `before_stage`."""
    return await _carry_out_all(run, stage, When.AFTER)


async def _carry_out_all(run: CutoverRun, stage: str, when: When) -> StageDecision | None:
    plan = run.site.plan
    # what comes after a stage waits for what the next stage waits for
    awaited = following(run, stage)
    if when is When.BEFORE:
        awaited = plan.stage(stage)
    # asked anew each time: an answer, or another process, may have changed what is due
    while due := hooks.due(run, stage, when):
        # what people leave out has no hooks, nor those that are left of it
        if when is When.BEFORE and skipped(run, stage):
            return None
        await until_allowed(run, awaited)
        decision = await _carry_out(run, stage, due[0])
        if decision is not None:
            return decision
    return None


async def _carry_out(run: CutoverRun, stage: str, hook: Hook) -> StageDecision | None:
    """Make one attempt at a hook, or ask people about one that failed.

    Returns:
        None to go on with what is due then; else people's decision to roll back.
    """
    found = hooks.progress(run, hook)
    times = found.asks(hook.spec)
    if times:
        decision = await _ask(run, stage, hook, times)
        if decision.action is StageAction.ROLLBACK:
            return decision
        if decision.action is StageAction.PROMOTE:
            accept_hook(run, hook, decision.reason)
            return None
    else:
        await _wait(run, hook)
    if refused := await before_hook(run, hook):
        return StageDecision(stage, refused.action, refused.reason)
    await _attempt(run, hook)
    return None


async def _attempt(run: CutoverRun, hook: Hook) -> None:
    if hook.spec.lever is not None:
        pull_hook(run, hook)
        return
    if hook.spec.flags is not None:
        set_hook_flags(run, hook)
        return
    attempt = begin_hook(run, hook)
    subject = f"cutover {run.id} {hook.step}"
    suite = await run_suite(run.site, hook.spec.suite, subject, attempt)
    if suite is not None:
        end_hook(run, hook, attempt, suite)


async def _wait(run: CutoverRun, hook: Hook) -> None:
    """Wait until the next attempt; a hook whose process was killed is not waited for."""
    due_at = hooks.retry_at(run, hook)
    if due_at is not None and due_at > clock.now():
        said = f"{hook.title} is tried again"
        await come_back(due_at, name="Retrying", message=said)


async def _ask(run: CutoverRun, stage: str, hook: Hook, times: int) -> StageDecision:
    record = cutovers.stage(run.site.store, run.id, stage)
    # the soak is over: nobody may end it once more while people are asked
    if record is not None and record.status is StageStatus.SOAKING:
        cutovers.wait_for_approval(run.site.store, run.id, stage)
    question = hooks.question(run, hook, times)
    decision = await ask_about(run, question)
    return StageDecision(stage, decision.action, decision.reason)


@step(name="pull hook", task_run_name="{hook.title}")
def pull_hook(run: CutoverRun, hook: Hook) -> str:
    """Pull a hook's lever once, and say what came of it.

    Raises:
        StaleEpoch: A rollback came first; the lever was not pulled.
    """
    return hooks.pull(run, hook)


@step(name="set flags of hook", task_run_name="{hook.title}")
def set_hook_flags(run: CutoverRun, hook: Hook) -> str:
    """Set a hook's flags for everyone, and say what came of it.

    Raises:
        StaleEpoch: A rollback came first; its safe values stay.
    """
    return hooks.set_flags(run, hook)


@step(name="begin hook", task_run_name="{hook.title}: begin")
def begin_hook(run: CutoverRun, hook: Hook) -> int:
    """Note that a hook's suite begins, and return which attempt it is.

    Raises:
        StaleEpoch: A rollback came first.
    """
    return hooks.begin(run, hook)


@step(name="end hook", task_run_name="{hook.title}")
def end_hook(run: CutoverRun, hook: Hook, attempt: int, suite: SuiteResult) -> str:
    """Note what a hook's suite found: only one that passed lets the stage go on."""
    return hooks.end_suite(run, hook, attempt, suite)


@step(name="accept hook", task_run_name="{hook.title}: gone on without")
def accept_hook(run: CutoverRun, hook: Hook, reason: str) -> None:
    """Note that people go on although a hook failed."""
    hooks.accept(run, hook, reason)

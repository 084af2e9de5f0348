"""After the last stage: final configuration, the baseline out of use, the time of observation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover import clock
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.domain.rollout import Cutover, StageStatus
from changeover.errors import ChangeoverError, StaleEpoch
from changeover.plan.units import format_duration
from changeover.procedures import baseline
from changeover.procedures.levers import pull_lever
from changeover.store import cutovers, firings, flags, health_results, steps
from tasks.approval import ask_about
from tasks.lifecycle import cutover_of
from tasks.procedure import Found, once
from tasks.runtime import Runtime, current_state, runtime_of
from tasks.steps import step
from tasks.validating import Result

SERIOUS = ("critical", "error")
HEALTH_DUE = timedelta(minutes=2)
"""In an observation of this length a health check that is made every minute has a result."""


@step(name="final configuration")
def configure_finally(migration: str, cutover_id: int) -> str:
    """Set the plan's final flags and pull its levers, unless a rollback came first."""
    runtime = runtime_of(migration)
    spec = runtime.plan.cutover.final
    if spec is None:
        return "nothing to configure"
    cutover = cutover_of(migration, cutover_id)
    current_state(runtime, cutover)

    def configure() -> Found:
        changed = flags.set_values(
            runtime.store, migration, spec.flags, actor=of_cutover(cutover_id),
            reason="final configuration", now=clock.now(), expected_epoch=cutover.epoch,
            environment=runtime.plan.environment or flags.BASE)
        _pull(runtime, cutover, "final configuration", spec.levers)
        return f"flags set: {', '.join(changed) or 'none'}; levers: " \
            f"{', '.join(spec.levers) or 'none'}", {}

    return _settled(once(runtime, of_cutover(cutover_id), "final configuration", configure))


@step(name="disable the baseline")
def disable_baseline(migration: str, cutover_id: int) -> str:
    """Pull the levers that take the baseline out of use; people agreed to it before.

    1. It is noted that the baseline may be out of use: a rollback from now on brings it back
       before users are sent to it.
    2. A rollback that came before that note, or while a lever was pulled, is seen before the next
       lever and after the last. What was pulled is undone then.
    3. A kill leaves the note, whose meaning is the same: brought back before users come.

    Raises:
        StaleEpoch: A rollback came; the baseline's levers were undone.
    """
    runtime = runtime_of(migration)
    spec = runtime.plan.cutover.disable_baseline
    if spec is None:
        return "the baseline stays in use"
    cutover = cutover_of(migration, cutover_id)
    current_state(runtime, cutover)

    def disable() -> Found:
        if steps.one(runtime.store, migration, of_cutover(cutover_id), baseline.DISABLED) is None:
            _note_disabling(runtime, cutover, StepStatus.BEGUN, "the levers are being pulled")
        try:
            _pull(runtime, cutover, baseline.DISABLED, spec.levers)
        except StaleEpoch:
            undone = baseline.pull_back(runtime.plan)
            baseline.keep(runtime.store, runtime.plan, undone, actor="cutover/main")
            told = [f"undone because a rollback came: {', '.join(spec.undo)}", *undone.problems]
            _note_disabling(runtime, cutover, StepStatus.FAILED, "; ".join(told))
            raise
        return f"levers: {', '.join(spec.levers)}", {}

    return _settled(once(runtime, of_cutover(cutover_id), baseline.DISABLED, disable))


def _note_disabling(runtime: Runtime, cutover: Cutover, status: StepStatus, detail: str) -> None:
    now = clock.now()
    steps.save(runtime.store, Step(
        runtime.migration, of_cutover(cutover.id), baseline.DISABLED, status, detail, now, now))


def _pull(runtime: Runtime, cutover: Cutover, step_name: str, names: list[str]) -> None:
    """Pull levers in order, whatever fails, while no rollback came.

    Raises:
        StaleEpoch: One came before or meanwhile; the levers after that were not pulled.
        ChangeoverError: Levers failed.
    """
    problems: list[str] = []
    for name in names:
        current_state(runtime, cutover)
        problem = pull_lever(runtime.store, runtime.plan, name, actor="cutover/main",
                             occasion=f"{of_cutover(cutover.id)} {step_name}")
        problems += [problem] if problem else []
    current_state(runtime, cutover)
    if problems:
        raise ChangeoverError("; ".join(problems), next_step="A person must do it")


def _settled(found: Step) -> str:
    """Return what a step did; one that failed is told in the criteria and stops nothing."""
    return found.detail if found.status is StepStatus.DONE else f"failed: {found.detail}"


@step(name="observed until")
def observed_until(migration: str, cutover_id: int, round_: int) -> datetime:
    """Return when the time of observation ends, counted from the first call of its round.

    Raises:
        StaleEpoch: A rollback came first: there is nothing to observe.
    """
    runtime = runtime_of(migration)
    current_state(runtime, cutover_of(migration, cutover_id))
    spec = runtime.plan.cutover.observe
    begun = once(runtime, of_cutover(cutover_id), _of_round("observation", round_), lambda: (
        f"observed for {format_duration(spec.duration)}" if spec else "not observed", {}))
    return begun.started_at + (spec.duration if spec else timedelta(0))


@step(name="success criteria")
def judge_success(
    migration: str, cutover_id: int, suite: Result | None, round_: int
) -> list[dict[str, Any]]:
    """Judge the criteria of success one by one and keep them for the report.

    Returns:
        `criterion`, `is_met` and `detail` of each, as they were judged first in this round.
    """
    runtime = runtime_of(migration)

    def judge() -> Found:
        criteria = _criteria(runtime, cutover_id, suite, round_)
        met = sum(each["is_met"] for each in criteria)
        return f"{met} of {len(criteria)} are met", {"criteria": criteria}

    found = once(runtime, of_cutover(cutover_id), _of_round(steps.CRITERIA, round_), judge)
    criteria: list[dict[str, Any]] = found.data["criteria"]
    return criteria


async def ask_to_accept(
    migration: str, cutover_id: int, unmet: list[dict[str, Any]], round_: int
) -> dict[str, str]:
    """Suspend until people have said what becomes of a cutover that is no success yet.

    Returns:
        `action`: promote accepts it, hold observes once more, rollback brings everyone back.

    Raises:
        StaleEpoch: A rollback came first.
    """
    spec = runtime_of(migration).plan.cutover.disable_baseline
    listed = "\n".join(f"- {each['criterion']}: {each['detail']}" for each in unmet)
    question = (
        f"## Accept the cutover of {migration} although these criteria are not met?\n\n"
        f"Everyone is on the candidate. Not met:\n\n{listed}\n\n"
        "- **promote**: accept it as it is.\n- **hold**: validate and observe once more.\n"
        "- **rollback**: everyone back to the baseline now.\n")
    decision = await ask_about(
        migration, cutover_id, "success", question, round_=round_,
        needed=spec.approval.approvers if spec else 1)
    return {"stage": "success", "action": decision.action, "reason": decision.reason}


def _of_round(step_name: str, round_: int) -> str:
    return step_name if round_ == 1 else f"{step_name} {round_}"


def _criteria(
    runtime: Runtime, cutover_id: int, suite: Result | None, round_: int
) -> list[dict[str, Any]]:
    cutover = cutovers.get(runtime.store, cutover_id)
    done = {each.name: each for each in
            steps.all_of(runtime.store, runtime.migration, of_cutover(cutover_id))}
    observation = done.get(_of_round("observation", round_))
    began = observation.started_at if observation else cutover.started_at
    is_due = clock.now() - began >= HEALTH_DUE
    stages = cutovers.stages(runtime.store, cutover_id)
    fired = firings.all_of(runtime.store, runtime.migration, since=began)
    health = health_results.since(runtime.store, runtime.migration, since=began)
    serious = [each for each in health if each.status in SERIOUS]
    newest = health_results.latest(runtime.store, runtime.migration)
    rows = [
        ("every stage was promoted", all(s.status is StageStatus.PROMOTED for s in stages),
         f"{sum(s.status is StageStatus.PROMOTED for s in stages)} of {len(stages)}"),
        ("no trigger fired during the observation", not fired,
         ", ".join(f"{f.trigger}: {f.reason}" for f in fired) or "none"),
        ("no critical health check during the observation",
         not serious and bool(health or not is_due),
         ", ".join(sorted({f"{h.check}: {h.detail}" for h in serious})) or
         f"{len(health)} results, none critical"),
        ("the newest health check is good",
         all(h.status in ("healthy", "warning") for h in newest) and bool(newest or not is_due),
         ", ".join(f"{h.check} {h.status}" for h in newest) or "no health check has run"),
    ]
    if suite is not None:
        rows.append((f"suite {suite['suite']} passed", suite["verdict"] == "pass",
                     suite["reason"]))
    rows += [
        (f"step {name} is done", done[name].status is StepStatus.DONE, done[name].detail)
        for name in ("backup", "rollback.sh", "final configuration", baseline.DISABLED)
        if name in done
    ]
    return [{"criterion": text, "is_met": is_met, "detail": detail}
            for text, is_met, detail in rows]

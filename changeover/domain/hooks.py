"""Hooks of stages: which are due, what became of each, and which a rollback undoes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.rollout import StageRecord, StageStatus
from changeover.plan.hooks import HookSpec
from changeover.plan.model import Plan, Stage

SETTLES = timedelta(seconds=5)
"""A lever that was begun and not recorded is over this long after its own time limit."""


class When(StrEnum):
    """When a hook is carried out."""

    BEFORE = "before"  # before any user is moved into the stage
    AFTER = "after"  # after its gate, before it is promoted


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook of a stage; `number` counts those of the same time, from 1."""

    stage: str
    when: When
    number: int
    spec: HookSpec

    @property
    def step(self) -> str:
        """Name of its step in the step log: `before gradual-25 hook 1`."""
        return f"{self.when} {self.stage} hook {self.number}"

    @property
    def title(self) -> str:
        """What it does, for people: `lever scale_up before gradual-25`."""
        return f"{self.spec.title} {self.when} {self.stage}"

    @property
    def subject(self) -> str:
        """What people are asked about: `before-gradual-25-1`."""
        return f"{self.when}-{self.stage}-{self.number}"


def of_stage(stage: Stage, when: When) -> list[Hook]:
    """Return a stage's hooks in order."""
    specs = stage.hooks.before if when is When.BEFORE else stage.hooks.after
    return [Hook(stage.key, when, number, spec) for number, spec in enumerate(specs, 1)]


def due_before(
    plan: Plan, key: str, known: Iterable[StageRecord], given: Iterable[Instruction]
) -> list[Hook]:
    """Return the hooks that must pass before users are moved into a stage.

    A cutover that begins with a later stage (`from_stage`) moves the users of the stages before it,
    too: their hooks, which the rollback had undone, come first. Those of a stage that people left
    out do not.

    Args:
        plan: The migration's plan.
        key: Key of the stage.
        known: The cutover's stages so far.
        given: Every instruction of the cutover.
    """
    skipped = {each.stage for each in given if each.kind is InstructionKind.SKIP}
    records = list(known)
    # once a stage was entered, those before it were carried out or left out
    is_first = all(each.status is StageStatus.SKIPPED for each in records)
    passed_over = {each.key for each in records if is_first and each.key not in skipped}
    found: list[Hook] = []
    for stage in plan.stages():
        if stage.key == key:
            return found + of_stage(stage, When.BEFORE)
        if stage.key in passed_over:
            found += of_stage(stage, When.BEFORE)
    return found


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a hook came.

    Args:
        attempt: The newest attempt, from 1; 0 before the first.
        status: What came of it; None before the first.
        detail: The same for people.
    """

    attempt: int = 0
    status: StepStatus | None = None
    detail: str = ""

    @classmethod
    def of(cls, step: Step | None) -> Progress:
        """Return what a step log says."""
        if step is None:
            return cls()
        return cls(int(step.data.get("attempt", 0)), step.status, step.detail)

    @property
    def is_passed(self) -> bool:
        """Whether the hook need not be carried out again."""
        return self.status is StepStatus.DONE

    @property
    def next_attempt(self) -> int:
        """The attempt that follows; one that was killed is the same one again."""
        return self.attempt + (self.status is not StepStatus.BEGUN)

    def asks(self, spec: HookSpec) -> int:
        """Return for which time people are to be asked about it, from 1; 0: not now."""
        if self.status is not StepStatus.FAILED:
            return 0
        times, left = divmod(self.attempt, spec.retries + 1)
        return times if not left else 0


@dataclass(frozen=True, slots=True)
class ToUndo:
    """A lever of a hook that may have acted.

    Args:
        subject: The procedure: `cutover-7`.
        step: Name of the hook's step.
        lever: The lever that undoes it.
        settled_at: Until then it may still be acting.
        began_at: When it was pulled last.
    """

    subject: str
    step: str
    lever: str
    settled_at: datetime
    began_at: datetime

    @property
    def undo_step(self) -> str:
        """Name of the step that undoes it."""
        return f"undo {self.step}"


def facts_of(hook: Hook, attempt: int, *, is_pulled: bool) -> dict[str, Any]:
    """Return what the step log keeps of a hook: enough to undo it under another plan.

    Args:
        hook: The hook.
        attempt: Which attempt it is, from 1.
        is_pulled: Whether its lever may have acted.
    """
    return {"hook": hook.spec.title, "stage": hook.stage, "undo": hook.spec.undone_by,
            "attempt": attempt, "is_pulled": is_pulled and hook.spec.lever is not None}


def to_undo(plan: Plan, steps: Sequence[Step]) -> list[ToUndo]:
    """Return what is to be undone of a procedure, newest first; what was undone is left out.

    Args:
        plan: The migration's plan, for the levers' time limits.
        steps: Every step of the procedure.
    """
    done = {each.name for each in steps if each.status is StepStatus.DONE}
    found = []
    for step in steps:
        # what was said when it was pulled counts, whatever the plan says by now
        lever = str(step.data.get("undo", ""))
        is_hook = "hook" in step.data and step.data.get("is_pulled", False)
        if not is_hook or not lever or f"undo {step.name}" in done:
            continue
        name = str(step.data["hook"]).removeprefix("lever ")
        # the record tells that it is over; without one only its time limit does
        settled = step.ended_at
        if step.status is StepStatus.BEGUN and name in plan.levers:
            settled = step.started_at + plan.levers[name].timeout + SETTLES
        found.append(ToUndo(step.subject, step.name, lever, settled, step.started_at))
    return sorted(found, key=lambda each: (each.began_at, each.step), reverse=True)

"""The steps around the phases of a cutover, its suites, and its criteria of success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from changeover.domain.procedures import of_cutover
from changeover.domain.rollout import Cutover
from changeover.domain.suites import SuiteRun
from changeover.domain.verdict import Verdict
from changeover.store import steps as step_log
from changeover.store import validations
from changeover.store.engine import Store
from reports import text

STEP_HEAD = ("Step", "State", "What was done", "At", "Took")
CRITERION_HEAD = ("Criterion", "Met", "What was found")


@dataclass(frozen=True, slots=True)
class ProcedureStep:
    """A step or a suite of the procedure: `status` is `done`, `failed`, or a suite's verdict."""

    name: str
    status: str
    detail: str
    at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of success."""

    text: str
    is_met: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """What was done around the phases; `criteria` is empty until they were judged."""

    steps: tuple[ProcedureStep, ...]
    criteria: tuple[Criterion, ...]


def collect(store: Store, cutover: Cutover) -> Procedure:
    """Return what the store knows of a cutover's procedure, in the order of time."""
    kept = step_log.all_of(store, cutover.migration, of_cutover(cutover.id))
    suites = [
        ProcedureStep(f"suite {run.suite}", run.verdict, _found(store, run), run.started_at,
                      (run.ended_at - run.started_at).total_seconds() if run.ended_at else 0.0)
        for run in validations.of_subject(store, cutover.migration, f"cutover {cutover.id}")
    ]
    steps = [
        ProcedureStep(step.name, step.status, step.detail, step.started_at,
                      (step.ended_at - step.started_at).total_seconds())
        for step in kept
    ]
    judged = [step for step in kept if step.name.startswith(step_log.CRITERIA)]
    criteria = judged[-1].data["criteria"] if judged else []
    return Procedure(
        tuple(sorted([*steps, *suites], key=lambda step: step.at)),
        tuple(Criterion(each["criterion"], each["is_met"], each["detail"]) for each in criteria),
    )


def _found(store: Store, run: SuiteRun) -> str:
    checks = validations.checks(store, run.id)
    bad = [f"{check.name}: {check.reason}" for check in checks if check.verdict is not Verdict.PASS]
    return "; ".join(bad) or f"all {len(checks)} checks passed"


def step_rows(steps: Sequence[ProcedureStep]) -> list[tuple[str, ...]]:
    """Return the cells of `STEP_HEAD`."""
    return [
        (step.name, text.status(step.status), step.detail, text.moment(step.at),
         text.duration(step.seconds))
        for step in steps
    ]


def criterion_rows(criteria: Sequence[Criterion]) -> list[tuple[str, ...]]:
    """Return the cells of `CRITERION_HEAD`."""
    return [(each.text, "✓ met" if each.is_met else "✗ not met", each.detail)
            for each in criteria]


def as_markdown(procedure: Procedure) -> str:
    """Return both tables as Markdown."""
    parts = []
    if procedure.criteria:
        parts.append(text.markdown_table(CRITERION_HEAD, criterion_rows(procedure.criteria)))
    if procedure.steps:
        parts.append(text.markdown_table(STEP_HEAD, step_rows(procedure.steps)))
    return "\n\n".join(parts)

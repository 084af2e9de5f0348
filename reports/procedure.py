"""The steps around the phases of a cutover, its suites, and its criteria of success. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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


def step_rows(steps: Sequence[ProcedureStep]) -> list[tuple[str, ...]]:
    """Return the cells of `STEP_HEAD`."""
    rows: list[tuple[str, ...]] = []
    for step in steps:
        at, took = text.moment(step.at), text.duration(step.seconds)
        rows.append((step.name, text.status(step.status), step.detail, at, took))
    return rows


def criterion_rows(criteria: Sequence[Criterion]) -> list[tuple[str, ...]]:
    """Return the cells of `CRITERION_HEAD`."""
    rows: list[tuple[str, ...]] = []
    for each in criteria:
        rows.append((each.text, "✓ met" if each.is_met else "✗ not met", each.detail))
    return rows


def as_markdown(procedure: Procedure) -> str:
    """Return both tables as Markdown."""
    parts = []
    if procedure.criteria:
        parts.append(text.markdown_table(CRITERION_HEAD, criterion_rows(procedure.criteria)))
    if procedure.steps:
        parts.append(text.markdown_table(STEP_HEAD, step_rows(procedure.steps)))
    return "\n\n".join(parts)

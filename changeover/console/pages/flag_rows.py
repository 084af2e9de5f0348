"""Flags as people read them: what each gives to whom, and who changed it last and why. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from changeover.flags.state import BASE, FlagState
from changeover.plan.flags import FlagSpec, Mirror, as_spec, from_document

_MIRRORED = {
    Mirror.SYSTEM: "the system that answers the user",
    Mirror.MODE: "the mode", Mirror.PERCENT: "the share of users on the candidate, in percent",
    Mirror.MAINTENANCE: "whether users are shut out"}


@dataclass(frozen=True, slots=True)
class Changed:
    """The newest change of a flag."""

    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class FlagRow:
    """A flag in a table.

    Args:
        name: The flag.
        environment: Whose; `all` for the one that others inherit.
        gives: What those get whom no rule fits.
        rules: Who gets what instead, one sentence each.
        locked: Why everyone gets one value now; empty when nothing locks it.
        stops: What everyone gets in an emergency rollback.
        drift: What the plan says, where that is something else; empty where it agrees.
        expires: When it should be gone; None for never.
        is_expired: Whether that day has come.
        owner: Who is responsible for removing it; may be empty.
        version: Grows with every change.
        changed: The newest change; None when its history is not kept.
    """

    name: str
    environment: str
    gives: str
    rules: tuple[str, ...]
    locked: str
    stops: str
    drift: str
    expires: date | None
    is_expired: bool
    owner: str
    version: int
    changed: Changed | None


def rows(
    states: Sequence[FlagState], changes: Mapping[tuple[str, str], Changed], *,
    safe: Mapping[str, Any], mode: str, today: date,
) -> list[FlagRow]:
    """Return flags by name and environment.

    Args:
        states: The flags of every environment.
        changes: The newest change by (environment, name).
        safe: What flags get in an emergency rollback.
        mode: The migration's present mode.
        today: The present day.
    """
    found = []
    for state in sorted(states, key=lambda each: (each.name, each.environment)):
        spec = as_spec(state.entry)
        found.append(FlagRow(
            state.name, state.environment if state.environment != BASE else "all",
            _gives(spec), _rules(spec), _locked(spec, mode), _stops(spec, state.name, safe),
            _drift(state), spec.expires,
            spec.expires is not None and spec.expires <= today, spec.owner, state.version,
            changes.get((state.environment, state.name))))
    return found


def said(value: object) -> str:
    """Return a flag's value as JSON."""
    return json.dumps(value, ensure_ascii=False)


def _gives(spec: FlagSpec) -> str:
    if spec.mirrors is not None:
        return f"copies {_MIRRORED[spec.mirrors]}"
    fallback = spec.fallback
    return "nothing" if fallback is None else said(spec.choices[fallback])


def _rules(spec: FlagSpec) -> tuple[str, ...]:
    found = []
    for rule in spec.rules:
        found.append(f"{said(spec.choices[rule.variant])} to {rule.describe()}")
    return tuple(found)


def _locked(spec: FlagSpec, mode: str) -> str:
    variant = spec.in_modes.get(mode)  # type: ignore[call-overload]
    if variant is None:
        return ""
    return f"everyone gets {said(spec.choices[variant])} in mode {mode}"


def _stops(spec: FlagSpec, name: str, safe: Mapping[str, Any]) -> str:
    if spec.mirrors is not None:
        return "follows the baseline"
    return said(safe[name]) if name in safe else "stays as it is"


def _drift(state: FlagState) -> str:
    if not state.has_drifted:
        return ""
    if state.plan_document is None:
        return "the plan has it no more"
    planned = as_spec(from_document(state.plan_document))
    return "; ".join(("the plan: " + _gives(planned), *_rules(planned)))

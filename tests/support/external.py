"""Asking a source as a plan describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from changeover.domain.readings import Question, Reading
from changeover.plan.model import Plan
from changeover.sources.ask import ask


def plan_with(source: dict[str, Any], **changes: Any) -> Plan:
    """Return a plan with one source, called `shop`."""
    systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}"}
               for name, port in (("baseline", 9101), ("candidate", 9102))}
    return Plan.model_validate({
        "migration": "moving", "systems": systems, "sources": {"shop": source},
        "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": "10m"}]}], **changes})


def asked(
    source: dict[str, Any], metric: dict[str, Any], folder: Path, *, system: str = "candidate",
    segment: str | None = None, window: int = 60,
) -> Reading:
    """Ask a source for a metric, as the observer and gates do."""
    plan = plan_with({**source, "metrics": {"it": metric}})
    return ask(plan, folder, Question("external.it", system, segment, window))

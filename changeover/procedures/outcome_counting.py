"""How the outcomes of a plan are counted by bucket."""

from __future__ import annotations

from changeover.analysis.sequential.counters import compares_outcomes, valued
from changeover.analysis.sequential.reported import Counting
from changeover.plan.metrics import Source
from changeover.plan.model import Plan


def counting_of(plan: Plan) -> Counting | None:
    """Return how outcomes are counted by bucket; None where no check compares them."""
    if not compares_outcomes(plan):
        return None
    checks = [check for gate in plan.all_gates.values() for check in gate]
    segments = {check.segment for check in checks if check.measured.source is Source.OUTCOME}
    return Counting(
        plan.routing.rule, frozenset(each for each in segments if each is not None),
        valued(plan, Source.OUTCOME), plan.routing.segments_of)

"""How near a trigger is to firing, as a bar and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from changeover.analysis import nearness
from changeover.plan.triggers import TriggerSpec


@dataclass(frozen=True, slots=True)
class Nearness:
    """The way to a trigger's bound.

    Args:
        share: Of the way, 1 at the bound and not more than 1; None when unknown.
        text: For people, as `32 % of the bound`.
    """

    share: float | None
    text: str


def near_to(spec: TriggerSpec, standing: Mapping[str, Any]) -> Nearness:
    """Return how near a trigger is to firing.

    Args:
        spec: The trigger, as the plan has it.
        standing: How it stands, as `site.trigger_status.triggers` returns it.
    """
    found = None
    if not standing["is_old"]:
        found = nearness.nearness(spec, standing["value"], standing["evidence"])
    if found is None:
        return Nearness(None, "not known")
    share = min(1.0, found)
    # it is up or it is not: there is no way between
    if spec.metric == "up":
        return Nearness(share, "down" if share else "it answers")
    what = "of the bound"
    if spec.budget is not None:
        what = "of the burn rate that fires"
    elif spec.is_sequential:
        what = "of the evidence that fires"
    elif spec.is_to_baseline:
        # it begins where both systems are the same
        what = "of the way from the baseline to the bound"
    return Nearness(share, f"{share * 100:.0f} % {what}")

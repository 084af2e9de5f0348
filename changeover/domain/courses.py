"""The course of a gate's checks while its stage soaks: few numbers at few moments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from changeover.domain.verdict import Verdict

MOST_POINTS = 240
"""Of a gate in a soak: as many as a chart shows, whether the soak lasts minutes or a week."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How a gate stood at a moment.

    Args:
        stage: Key of the stage.
        gate: Name of the gate.
        at: When.
        verdict: What it would have said.
        checks: A point (`point_of`) of each of its checks, in their order.
    """

    stage: str
    gate: str
    at: datetime
    verdict: Verdict
    checks: list[dict[str, Any]] = field(default_factory=list)


def spacing(soak: timedelta, age: timedelta) -> timedelta:
    """Return how far apart the moments of a stage are at least.

    A stage that is held or judged again for weeks gets ever fewer: their number grows with the
    logarithm of its age.

    Args:
        soak: How long the stage soaks.
        age: For how long it has done so.
    """
    return max(soak, age) / MOST_POINTS


def point_of(check: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a check at a moment.

    Keys: `verdict`, `value`, `baseline`; where there is an interval `of`, `middle`, `low`, `high`;
    where evidence decides `worse` and `bar`, `better` and `goal` (logarithms of e-values).

    Args:
        check: Its evidence, as the store keeps it.
    """
    point: dict[str, Any] = {
        "verdict": check["verdict"], "value": check.get("value"),
        "baseline": check.get("baseline_value")}
    interval = check.get("interval")
    if interval:
        point |= {"of": interval["of"], "middle": interval.get("value"),
                  "low": interval["low"], "high": interval["high"]}
    found = check.get("sequential") or {}
    if "log_worse" in found:
        point |= {"worse": found["log_worse"], "bar": found.get("log_bar"),
                  "better": found["stage"]["log_better"], "goal": found.get("log_pass")}
    for name, value in point.items():
        # digits that nobody sees would be most of what is stored
        if isinstance(value, float):
            point[name] = float(f"{value:.5g}")
    return point

"""The look at a stage at which the evidence of harm stood highest. Pure.

Evidence may be read at any time, and what reached its bar once has decided: the chance that it ever
does so in a healthy stage is what the bar allows (Ville 1939). So a fail stays a fail, although the
evidence of a later look may be lower. Where no look reached the bar, its height decides nothing: a
highest value is no e-value, and only says how near the stage came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from changeover.analysis.sequential.stage_sums import METHOD, StageSums
from changeover.plan.conditions import CheckSpec


@dataclass(frozen=True, slots=True)
class Peak:
    """What one look found.

    Args:
        at: End of what it looked at, in ISO form.
        start: Seconds from the stage's start to the start that spoke loudest.
        log_worse: Logarithm of the e-value of harm since then.
        log_bar: What it must reach.
    """

    at: str
    start: int
    log_worse: float
    log_bar: float

    @property
    def is_shown(self) -> bool:
        """Whether harm was shown."""
        return self.log_worse >= self.log_bar

    @property
    def excess(self) -> float:
        """How far above its bar the evidence stood; below 0: under it."""
        return self.log_worse - self.log_bar

    @property
    def words(self) -> str:
        """When it was, for people."""
        return f"{datetime.fromisoformat(self.at):%Y-%m-%d %H:%M:%S} UTC"

    def document(self) -> dict[str, Any]:
        """Return it for the evidence of a verdict."""
        return asdict(self)


def higher(one: Peak | None, other: Peak | None) -> Peak | None:
    """Return the higher of two looks; the first where they are equal."""
    if one is None or other is None:
        return one or other
    return other if other.excess > one.excess else one


def peak_in(stored: Mapping[str, Any]) -> Peak | None:
    """Return the highest look that is stored with a check's evidence: its own, or one before."""
    found = stored.get("sequential", {})
    own = None
    if "log_worse" in found:
        own = Peak(str(stored["window_end"]), int(found["start"]),
                   float(found["log_worse"]), float(found["log_bar"]))
    return higher(before_in(stored), own)


def before_in(stored: Mapping[str, Any]) -> Peak | None:
    """Return the look before that a check was judged with; None where there was no higher one."""
    found = stored.get("sequential", {}).get("before")
    return Peak(**found) if found else None


def peak_before(
    check: CheckSpec, sums: StageSums, known: Sequence[Mapping[str, Any]]
) -> Peak | None:
    """Return the highest of the looks before this one that asked the same of the same stage.

    Args:
        check: The check.
        sums: What is counted of the stage now.
        known: What is stored of the gate's checks at the newest look.
    """
    asked = check.model_dump(mode="json", exclude_defaults=True)
    # another split or share of the allowed alarms, or a stage begun anew: another question
    circumstances = {"method": METHOD, "weight": sums.weight, "checks": sums.checks}
    for stored in known:
        found = stored.get("sequential", {})
        is_same_stage = stored.get("window_start") == sums.start.isoformat()
        is_same = circumstances.items() <= found.items()
        if stored.get("check") == asked and is_same_stage and is_same:
            return peak_in(stored)
    return None

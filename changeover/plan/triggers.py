"""Triggers, as a plan says them: conditions that are always watched. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field, model_validator

from changeover.plan.conditions import Condition
from changeover.plan.fields import Duration, Name
from changeover.plan.metrics import parse_value

LEAST_QUIET = timedelta(minutes=1)
"""Shortest default of `clear_for`."""
CLEARANCE = 0.1
"""By default a value must be back by this part of its bound before the trigger clears."""
_TOO_HIGH = ("above", "at_least", "ratio_to_baseline", "difference_to_baseline")
_TOO_LOW = ("below", "at_most")


class TriggerAction(StrEnum):
    """What a trigger does when it fires."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    ALERT = "alert"


class TriggerSpec(Condition):
    """A condition that is always watched; it fires when it held for the whole of `for`."""

    name: Name
    for_: Duration = Field(alias="for", description="How long it must be true without a break.")
    over: Duration = Field(
        timedelta(seconds=10), description="Window of each evaluation."
    )
    min_samples: int = Field(10, ge=1, description="Fewer samples in the window do not count.")
    action: TriggerAction
    clear_at: str | int | float | None = Field(
        None,
        description="A trigger that fired is over when the value is back here; default: a tenth "
        "of the bound inside it."
    )
    clear_for: Duration | None = Field(
        None,
        description="How long it must be back without a break; default: as long as `for`, at "
        "least a minute."
    )

    @property
    def quiet_for(self) -> timedelta:
        """How long the value must be back before a trigger that fired is over."""
        return max(self.for_, LEAST_QUIET) if self.clear_for is None else self.clear_for

    def is_back(self, value: float) -> bool:
        """Whether a value is far enough inside the bound for a trigger that fired to be over.

        Args:
            value: In base units; for a bound relative to the baseline the ratio or the difference.
        """
        if self.bound_name == "between":
            low, high = self.bound_values
            return not low <= value <= high
        bound = self.clear_bound
        return value <= bound if self.bound_name in _TOO_HIGH else value >= bound

    @property
    def clear_bound(self) -> float:
        """The value at which it is over, in base units."""
        if self.clear_at is not None:
            return self._parsed_clear_at()
        name, bound = self.bound_name, self.bound_values[0]
        if name == "ratio_to_baseline" and bound > 1:
            return 1 + (1 - CLEARANCE) * (bound - 1)
        if name in _TOO_HIGH:
            return bound - CLEARANCE * abs(bound)
        metric = self.measured
        # a share cannot rise above 1: back by a tenth of what is missing
        is_share = metric.unit == "share" or metric.name == "up"
        return bound + CLEARANCE * (max(0.0, 1 - bound) if is_share else abs(bound))

    def _parsed_clear_at(self) -> float:
        if self.bound_name == "ratio_to_baseline":
            try:
                return float(self.clear_at or 0)
            except ValueError as error:
                raise ValueError(f"{self.clear_at!r} is not a number") from error
        return parse_value(self.measured, self.clear_at)

    @model_validator(mode="after")
    def _clears_inside(self) -> TriggerSpec:
        if self.clear_at is None:
            return self
        if self.bound_name == "between":
            raise ValueError("`clear_at` does not work with `between`: it is over when the value "
                             "is outside for `clear_for`; remove clear_at")
        back, bound = self._parsed_clear_at(), self.bound_values[0]
        is_inside = back <= bound if self.bound_name in _TOO_HIGH else back >= bound
        if not is_inside:
            side = "at most" if self.bound_name in _TOO_HIGH else "at least"
            given = getattr(self, self.bound_name)
            raise ValueError(f"clear_at {self.clear_at}: the trigger would be over while it still "
                             f"fires; it must be {side} {given}, the value of {self.bound_name}")
        return self

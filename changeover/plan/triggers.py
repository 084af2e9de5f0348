"""Triggers, as a plan says them: conditions that are always watched. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from changeover.plan.budgets import BudgetSpec, BurnWindow, can_burn
from changeover.plan.conditions import CheckSpec, Condition
from changeover.plan.fields import Duration, Name
from changeover.plan.metrics import BY_BUCKET, METRICS, parse_value

StageKey = Annotated[str, Field(
    pattern=r"^[a-z]+(-[a-z][a-z0-9_-]*)?(-[0-9-]+)?$", examples=["gradual-10"])]
"""Key of a stage: `shadow`, `beta-5`, `gradual-25`, `gradual-orders-10`, `full`."""
LEAST_QUIET = timedelta(minutes=1)
"""Shortest default of `clear_for`."""
CLEARANCE = 0.1
"""By default a value must be back by this part of its bound before the trigger clears."""
USUAL_WINDOW = timedelta(seconds=10)
"""Default of `over`."""
EVIDENCE_WINDOW = timedelta(minutes=5)
"""Default of `over` where evidence decides: the values are for people, and for the end."""
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
    for_: Duration = Field(
        timedelta(0), alias="for",
        description="How long it must be true without a break; not needed with `test: sequential` "
        "and `budget`."
    )
    over: Duration | None = Field(
        None,
        description="Window of each evaluation, by default 10 seconds; with `test: sequential` of "
        "the value that is shown and of the end, there 5 minutes by default."
    )
    min_samples: int = Field(10, ge=1, description="Fewer samples in the window do not count.")
    action: TriggerAction
    stages: list[StageKey] | None = Field(
        None, min_length=1,
        description="Watch it in these stages only, as `gradual-10`; default: always."
    )
    urgent: bool = Field(
        True,
        description="For `action: rollback`: everyone returns at once; false: in the steps of "
        "`rollback.return`."
    )
    budget: BudgetSpec | None = Field(
        None, description="Instead of a bound: fires when failures burn the error budget too fast.")
    test: Literal["sequential", "threshold"] | None = Field(
        None,
        description="How a bound that is relative to the baseline is judged. `sequential`, the "
        "default where requests are counted by user: by the evidence of the stage, as gates are. "
        "`threshold`: by the two values of the window."
    )
    direction: Literal["increase", "decrease"] | None = Field(
        None,
        description="For bounds relative to the baseline with `test: threshold`: which difference "
        "is bad; `increase` is the default. With `decrease` it fires below ratio_to_baseline times "
        "the baseline's value, or more than difference_to_baseline below it."
    )
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
    def is_sequential(self) -> bool:
        """Whether evidence by users decides, not the two values of the window."""
        is_default = self.is_to_baseline and self.metric in BY_BUCKET
        return self.test == "sequential" or (self.test is None and is_default)

    @property
    def is_falling(self) -> bool:
        """Whether a bound relative to the baseline is the least that is allowed, not the most."""
        return self.is_to_baseline and self.direction == "decrease"

    @property
    def is_by_itself(self) -> bool:
        """Whether it looks back by itself, so that its condition need not last."""
        return self.is_sequential or self.budget is not None

    @property
    def bound_values(self) -> tuple[float, ...]:
        """The bound's values in base units; of a budget the smallest share that fires."""
        if self.budget is None:
            return super().bound_values
        return (min(each.burn for each in self.burning) * self.budget.allowed,)

    @property
    def burning(self) -> list[BurnWindow]:
        """The windows of its budget."""
        is_urgent = self.action is not TriggerAction.ALERT
        return self.budget.burning(is_urgent=is_urgent) if self.budget else []

    @property
    def longest_window(self) -> timedelta:
        """The longest window that it is judged by."""
        return max((each.long for each in self.burning), default=self.window)

    def _bound_names(self) -> tuple[str, ...]:
        return (*super()._bound_names(), "budget")

    @property
    def as_check(self) -> CheckSpec:
        """The check that asks the same of a stage."""
        return CheckSpec(
            metric=self.metric, of=self.of, status=self.status,
            segment=self.segment, route=self.route,
            ratio_to_baseline=self.ratio_to_baseline,
            difference_to_baseline=self.difference_to_baseline, min_samples=self.min_samples)

    @property
    def window(self) -> timedelta:
        """The window of a second's value."""
        if self.over is not None:
            return self.over
        return EVIDENCE_WINDOW if self.is_sequential else USUAL_WINDOW

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
        return value <= bound if self._is_too_high else value >= bound

    @property
    def _is_too_high(self) -> bool:
        return self.bound_name in _TOO_HIGH and not self.is_falling

    @property
    def clear_bound(self) -> float:
        """The value at which it is over, in base units."""
        if self.clear_at is not None:
            return self._parsed_clear_at()
        name, bound = self.bound_name, self.bound_values[0]
        # a difference is above 0 in the plan; how far below the baseline is below 0
        if self.is_falling and name == "difference_to_baseline":
            return -(1 - CLEARANCE) * bound
        # of what is missing to the baseline's value, or of the margin above it
        if self.is_falling:
            return bound + CLEARANCE * abs(1 - bound)
        # of the margin above 1, not of the ratio: 1.2 is back at 1.18, not at 1.08
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
    def _urgency_fits(self) -> TriggerSpec:
        if not self.urgent and self.action is not TriggerAction.ROLLBACK:
            raise ValueError(
                "`urgent: false` belongs to `action: rollback`, "
                f"not to {self.action}; remove it")
        for name in ("segment", "route"):
            if getattr(self, name) is not None and not self.urgent:
                raise ValueError(
                    f"`urgent: false` does not work with `{name}`: "
                    f"a {name}'s users go back alone and at once; "
                    "remove one of them")
        return self

    @model_validator(mode="after")
    def _budget_fits(self) -> TriggerSpec:
        if self.budget is None:
            return self
        for name in ("over", "test", "clear_at", "path"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"`{name}` does not work with `budget`, which has "
                    "windows and burn rates of its own; remove it")
        if not can_burn(self.metric):
            known = ", ".join(sorted(filter(can_burn, METRICS)))
            raise ValueError(
                f"`budget` does not work with {self.metric}, "
                f"only with shares of bad requests: {known}")
        objective = f"{self.budget.objective * 100:g}%"
        for each in self.burning:
            share = each.burn * self.budget.allowed
            if share > 1:
                most = 1 / self.budget.allowed
                raise ValueError(
                    f"burn {each.burn:g} of objective {objective} would need "
                    f"{share:.0%} of the requests to be bad, "
                    "so that it could never fire; "
                    f"give `windows` with a burn of at most {most:.4g}")
        return self

    @model_validator(mode="after")
    def _test_fits(self) -> TriggerSpec:
        if self.budget is not None:
            return self
        if not self.is_sequential:
            if "for_" not in self.model_fields_set:
                raise ValueError(
                    "`for` is required: how long it must be true; "
                    "0s means at once")
            return self
        if not self.is_to_baseline:
            raise ValueError(
                "`test: sequential` needs ratio_to_baseline or "
                "difference_to_baseline: it compares the two systems")
        if self.metric not in BY_BUCKET:
            known = ", ".join(sorted(BY_BUCKET))
            raise ValueError(
                f"`test: sequential` does not work with {self.metric}, "
                f"only with {known}")
        least = 1 if self.bound_name == "ratio_to_baseline" else 0
        bound = self.bound_values[0]
        if bound <= least:
            raise ValueError(
                f"{self.bound_name} {bound:g}: with enough requests "
                "any difference is shown, however small; "
                f"allow some margin, above {least}, or set `test: threshold`")
        return self

    @model_validator(mode="after")
    def _direction_fits(self) -> TriggerSpec:
        if self.direction is None:
            return self
        if not self.is_to_baseline or self.is_sequential:
            raise ValueError(
                "`direction` works with ratio_to_baseline or difference_to_baseline "
                "and `test: threshold`")
        if self.is_falling and self.clear_at is not None:
            raise ValueError("`clear_at` does not work with `direction: decrease`; remove it")
        return self

    @model_validator(mode="after")
    def _clears_inside(self) -> TriggerSpec:
        if self.clear_at is None:
            return self
        if self.bound_name == "between":
            raise ValueError(
                "`clear_at` does not work with `between`: it is over when "
                "the value is outside for `clear_for`; remove clear_at")
        back, bound = self._parsed_clear_at(), self.bound_values[0]
        is_inside = back <= bound if self._is_too_high else back >= bound
        if not is_inside:
            side = "at most" if self._is_too_high else "at least"
            given = getattr(self, self.bound_name)
            raise ValueError(
                f"clear_at {self.clear_at}: the trigger would be over while "
                f"it still fires; it must be {side} {given}, "
                f"the value of {self.bound_name}")
        return self

"""Keys of `test: mann_whitney` beyond a check's own: what Kayenta asks of a metric and a score."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from changeover.plan.fields import Name, Part

ALL_METRICS = "all"
"""The group of a metric that names none."""


class RanksSpec(Part):
    """How the ranks of single minutes are compared; the defaults are Kayenta's."""

    missing: Literal["leave_out", "zero"] = Field(
        "leave_out", description="Minutes in which nothing was measured (`nanStrategy`). `zero` "
        "counts them as 0.")
    outliers: Literal["keep", "remove"] = Field(
        "keep", description="What becomes of values far from the quartiles.")
    outlier_factor: float = Field(
        3.0, gt=0, description="Interquartile ranges from which on a value is far.")
    outlier_lenient: bool = Field(
        True, description="The middle 90 % of the values are never outliers.")
    tolerance: float = Field(
        0.25, ge=0, description="Share of the estimated shift that the test must exclude.")
    confidence: float = Field(0.98, gt=0, lt=1, description="Of the test, two-sided.")
    effect: Literal["mean_ratio", "cles", "cohen_d"] = Field(
        "mean_ratio", description="Measure of the effect (`effectSize.measure`).")
    allowed_increase: float | None = Field(
        None, description="High needs an effect of at least this; default: ratio_to_baseline, or "
        "no effect for another measure.")
    allowed_decrease: float | None = Field(
        None, description="Low needs an effect of at most this.")
    critical: bool = Field(
        False, description="In a `score`: its failure makes the whole score 0.")
    critical_increase: float | None = Field(
        None, description="Effect from which on a High of a critical metric is critical.")
    critical_decrease: float | None = Field(None, description="The same of a Low.")
    groups: list[Name] = Field(
        default=[], description="In a `score`: the groups that it counts in; none: `all`.")


class ScoreSpec(Part):
    """A score of checks by ranks: the weighted share of those that pass, 0 to 100."""

    # evidence has the names of the model, files those of people
    model_config = ConfigDict(populate_by_name=True)

    weights: dict[Name, float] = Field(
        default={}, description="Weight of a group in percent; the others share the rest.")
    pass_: float = Field(
        ge=0, le=100, alias="pass", description="The score that passes.")
    marginal: float | None = Field(
        None, ge=0, le=100, description="Below it the gate fails; between it and `pass` people "
        "are asked. Default: `pass`.")

    @model_validator(mode="after")
    def _is_possible(self) -> ScoreSpec:
        if min(self.weights.values(), default=0) < 0 or sum(self.weights.values()) > 100:
            raise ValueError("weights must be 0 or more, and at most 100 together")
        if self.marginal is not None and self.marginal > self.pass_:
            raise ValueError(f"marginal {self.marginal:g} is above pass {self.pass_:g}")
        return self

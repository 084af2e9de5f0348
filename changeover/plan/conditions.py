"""Conditions on a metric, as a plan says them, and the checks of gates. Pure.

Triggers are in `changeover.plan.triggers`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from changeover.plan.fields import Duration, Name, Part, Pattern
from changeover.plan.means import check_mean
from changeover.plan.membership import MemberOf
from changeover.plan.metrics import (
    BY_BUCKET,
    METRICS,
    OUTCOME_ERRORS,
    QUALITY,
    QUALITY_NAME,
    RESPONSE_BYTES,
    Metric,
    Source,
    Unit,
    is_by_bucket,
    is_mean,
    metric_of,
    parse_value,
)
from changeover.plan.paths import one_place
from changeover.plan.ranks import RanksSpec
from changeover.plan.routes import RouteName
from changeover.plan.statuses import Statuses, reading, unfit
from changeover.plan.subsets import subset_of_route, subset_of_segment

BY_MINUTES = (Source.TRAFFIC, Source.HEALTH, Source.PROCESS)
"""Sources whose metrics are known of each minute and system."""
FEWEST_MINUTES = 5
"""Minutes of each system below which ranks cannot show any difference at 98 %."""
_TO_BASELINE = ("ratio_to_baseline", "difference_to_baseline")


class Condition(Part):
    """A metric of a system with exactly one bound. Bounds are in the metric's own unit."""

    metric: str = Field(json_schema_extra={"anyOf": [
        {"enum": [*sorted(METRICS)]}, {"pattern": rf"^(outcome|external)\.{QUALITY_NAME}$"}]})
    of: Literal["baseline", "candidate"] = "candidate"
    below: str | int | float | None = Field(None, description="Must be < this.")
    above: str | int | float | None = Field(None, description="Must be > this.")
    at_least: str | int | float | None = Field(None, description="Must be ≥ this.")
    at_most: str | int | float | None = Field(None, description="Must be ≤ this.")
    between: list[str | int | float] | None = Field(None, min_length=2, max_length=2)
    ratio_to_baseline: float | None = Field(
        None, gt=0, description="Must be ≤ this many times the baseline's value."
    )
    difference_to_baseline: str | int | float | None = Field(
        None, description="Must be ≤ the baseline's value plus this."
    )
    path: Pattern | None = Field(
        None,
        description="For divergence_rate: one place only, such as `$.total`."
    )
    status: Statuses | None = Field(
        None, description="For status_rate: a code (404), a class (4xx), or a list of them."
    )
    segment: Name | None = Field(
        None,
        description="For traffic, outcomes and external metrics: the users of one segment only."
    )
    route: RouteName | None = Field(
        None, description="For metrics of traffic: the requests of one route only.")
    unit: Unit | None = Field(
        None, description="Taken from the external metric in `sources`; never written by hand.")

    @property
    def measured(self) -> Metric:
        """What is measured, in the unit that bounds and values have, with the statuses counted."""
        return metric_of(reading(self.metric, self.status), self.unit)

    @property
    def is_external(self) -> bool:
        """Whether a source of the plan is asked for the value."""
        return self.measured.source is Source.EXTERNAL

    @property
    def is_of_requests(self) -> bool:
        """Whether the gateway's log tells its metric, so that subsets of it can be counted."""
        return self.measured.source is Source.TRAFFIC

    @property
    def subset(self) -> str | None:
        """The subset of requests that is read, `segment:beta` or `route:orders`; None: all."""
        if self.route is not None:
            return subset_of_route(self.route)
        return None if self.segment is None else subset_of_segment(self.segment)

    @property
    def part(self) -> str | None:
        """The part of the requests that is read: a segment's name, `route:orders`, None: all."""
        return self.subset if self.route is not None else self.segment

    @property
    def bound_name(self) -> str:
        """Name of the bound that is set, for instance `below`."""
        return self._bounds()[0]

    @property
    def bound_values(self) -> tuple[float, ...]:
        """The bound's values in base units (shares, seconds, bytes); two for `between`."""
        name = self.bound_name
        if name == "ratio_to_baseline":
            return (float(self.ratio_to_baseline or 0),)
        raw: Any = getattr(self, name)
        parts = raw if isinstance(raw, list) else [raw]
        return tuple(parse_value(self.measured, part) for part in parts)

    @property
    def is_falling(self) -> bool:
        """Whether a bound relative to the baseline is the least that is allowed, not the most."""
        return False

    @property
    def is_to_baseline(self) -> bool:
        """Whether the bound is relative to the baseline, whose value must be known then."""
        return self.bound_name in _TO_BASELINE

    def _bounds(self) -> list[str]:
        return [name for name in self._bound_names() if getattr(self, name) is not None]

    def _bound_names(self) -> tuple[str, ...]:
        return ("below", "above", "at_least", "at_most", "between", *_TO_BASELINE)

    @field_validator("path")
    @classmethod
    def _is_one_place(cls, path: str | None) -> str | None:
        return None if path is None else one_place(path)

    @model_validator(mode="after")
    def _is_meaningful(self) -> Condition:
        if self.metric not in METRICS or " " in self.metric:
            known = ", ".join(METRICS)
            raise ValueError(
                f"unknown metric {self.metric!r}; allowed are "
                f"{known}, outcome.NAME, external.NAME")
        if self.is_external and self.unit is None:  # the plan sets it where a source has it
            raise ValueError(f"no source has the metric {self.metric!r}")
        if len(self._bounds()) != 1:
            found = ", ".join(self._bounds()) or "none"
            known = ", ".join(self._bound_names())
            raise ValueError(
                f"exactly one bound is required of {known}; found {found}")
        values = self.bound_values
        if self.between is not None and values[0] >= values[1]:
            raise ValueError(
                f"between {self.between}: the first value must be the lower one")
        if self.is_to_baseline and self.of == "baseline":
            raise ValueError(
                f"{self.bound_name} of the baseline itself is always true; "
                "use `of: candidate`")
        return self

    @model_validator(mode="after")
    def _path_has_metric(self) -> Condition:
        if self.path is not None and self.metric != "divergence_rate":
            raise ValueError(f"`path` works with divergence_rate only, not with {self.metric}")
        by_segment = (Source.TRAFFIC, Source.OUTCOME, Source.EXTERNAL)
        if self.segment is not None and self.measured.source not in by_segment:
            raise ValueError(
                "`segment` works with metrics of traffic, outcomes and "
                f"sources only, not with {self.metric}")
        if self.route is not None and self.measured.source is not Source.TRAFFIC:
            raise ValueError(
                f"`route` works with metrics of traffic only, not with {self.metric}")
        if self.route is not None and self.segment is not None:
            raise ValueError("`route` does not work with `segment`; give one of them")
        if problem := unfit(self.metric, self.status):
            raise ValueError(problem)
        return self


class OnFail(StrEnum):
    """What follows when a check fails."""

    ROLLBACK = "rollback"  # the gate fails, and everyone goes back
    ASK = "ask"  # people decide, at once
    SHOW = "show"  # nothing: it stands beside the others and decides nothing


class CheckSpec(Condition):
    """One condition of a gate over a window of time."""

    over: Duration | None = Field(None, description="Window; default: the stage's soak.")
    min_samples: int = Field(
        100, ge=1, description="With fewer requests (or probes) the check is inconclusive."
    )
    test: Literal["sequential", "threshold", "mann_whitney"] | None = Field(
        None,
        description="How a bound that is relative to the baseline is judged. `sequential`, the "
        "default where requests are counted by user: by evidence that may be read at any time. "
        "`threshold`: by the two measured values alone. `mann_whitney`: by the ranks of single "
        "minutes, as Kayenta does."
    )
    direction: Literal["increase", "decrease", "either"] | None = Field(
        None,
        description="Which difference fails the check; `increase` is the default. For "
        "`test: mann_whitney`: `decrease` fails at most 1 / ratio_to_baseline times the baseline's "
        "mean. By evidence about means, and with `test: threshold`: with `decrease` the "
        "candidate's must be at least ratio_to_baseline times the baseline's, or at most "
        "difference_to_baseline lower."
    )
    range: list[float] | None = Field(
        None, min_length=2, max_length=2,
        description="For outcome.NAME by evidence: lowest and highest value that count; what lies "
        "beyond counts as the end."
    )
    ranks: RanksSpec | None = Field(
        None, description="For `test: mann_whitney`: what Kayenta asks of a metric beyond a ratio.")
    on_fail: OnFail = Field(
        OnFail.ROLLBACK,
        description="What follows when it fails: `rollback`; `ask` people at once; `show` it only: "
        "such a check never decides."
    )
    on_no_data: Literal["inconclusive", "fail"] = Field(
        "inconclusive", description="What too few samples mean. `fail`: who must see traffic."
    )
    early_fail: bool = Field(
        True,
        description="For `test: sequential`: roll back as soon as harm is shown, without waiting "
        "for the soak's end."
    )
    group: MemberOf | None = Field(
        None, description="Set for the checks of `any`, `all` and `some`; never written by hand.")

    @property
    def is_sequential(self) -> bool:
        """Whether evidence by users decides, not the two measured values."""
        is_default = self.is_to_baseline and is_by_bucket(self.metric) and self._has_range
        return self.test == "sequential" or (self.test is None and is_default)

    @property
    def is_by_values(self) -> bool:
        """Whether the two measured values alone decide about a bound relative to the baseline."""
        return self.is_to_baseline and not (self.is_sequential or self.is_by_minutes)

    @property
    def is_falling(self) -> bool:
        """Whether a bound relative to the baseline is the least that is allowed, not the most."""
        return self.is_by_values and self.direction == "decrease"

    @property
    def is_of_mean(self) -> bool:
        """Whether evidence decides about the mean of a number, not about a share or a quantile."""
        return self.is_sequential and is_mean(self.metric)

    @property
    def _has_range(self) -> bool:
        """Whether the values that count are known: numbers of outcomes can be anything."""
        return self.range is not None or not self.metric.startswith(QUALITY)

    @property
    def is_by_minutes(self) -> bool:
        """Whether the ranks of single minutes decide."""
        return self.test == "mann_whitney"

    @model_validator(mode="after")
    def _minutes_fit(self) -> CheckSpec:
        # where evidence could decide, the weaker comparison must have been wanted
        is_wanted = self.test == "threshold" or not is_by_bucket(self.metric)
        has_direction = self.is_by_minutes or self.is_of_mean or (self.is_by_values and is_wanted)
        if self.direction is not None and not has_direction:
            raise ValueError(
                "`direction` works with `test: mann_whitney`, and with "
                "response_bytes and outcome.NAME by evidence "
                "(which needs `range`), and where the two values "
                "alone decide (`test: threshold`)")
        if self.is_by_values and self.direction == "either":
            raise ValueError("`direction: either` works with `test: mann_whitney` only")
        if self.ranks is not None and not self.is_by_minutes:
            raise ValueError("`ranks` works with `test: mann_whitney` only")
        if not self.is_by_minutes:
            return self
        if METRICS[self.metric].source not in BY_MINUTES:
            raise ValueError(
                f"`test: mann_whitney` does not work with {self.metric}, "
                "only with metrics of traffic, health and processes")
        if (self.ratio_to_baseline or 0) < 1:
            raise ValueError(
                "`test: mann_whitney` needs ratio_to_baseline of 1 or more: "
                "the ratio of means from which on a difference counts")
        is_other = self.ranks is not None and self.ranks.effect != "mean_ratio"
        if is_other and self.ratio_to_baseline != 1:
            raise ValueError(
                "with another effect than mean_ratio, ratio_to_baseline "
                "must be 1: the bound is ranks.allowed_increase")
        return self

    @model_validator(mode="after")
    def _test_fits(self) -> CheckSpec:
        if self.test == "sequential" and not self.is_to_baseline:
            raise ValueError(
                "`test: sequential` needs ratio_to_baseline or "
                "difference_to_baseline: it compares the two systems")
        if self.test == "sequential" and not is_by_bucket(self.metric):
            allowed = sorted({*BY_BUCKET, OUTCOME_ERRORS, RESPONSE_BYTES})
            known = ", ".join(allowed)
            raise ValueError(
                f"`test: sequential` does not work with {self.metric}, "
                f"only with {known}, outcome.NAME")
        check_mean(self)
        if self.is_of_mean:
            return self
        least = 1 if self.bound_name == "ratio_to_baseline" else 0
        if self.is_sequential and self.bound_values[0] <= least:
            raise ValueError(
                f"{self.bound_name} {self.bound_values[0]:g} can never pass: that the candidate is "
                f"no worse at all cannot be shown; allow some margin, above {least}, or set "
                "`test: threshold`")
        return self

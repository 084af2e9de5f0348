"""Error budgets of triggers: how fast failures may use up what an objective allows. Pure.

Source: The Site Reliability Workbook (Beyer, Murphy, Rensin, Kawahara, Thorne 2018), chapter 5,
"Alerting on SLOs", approach 6: several windows with burn rates of their own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from changeover.plan.fields import Duration, Part, Share
from changeover.plan.metrics import METRICS, Source
from changeover.plan.units import format_duration

SHORT_PART = 12
"""A short window is this part of its long one: it tells whether the burning goes on."""
RECOMMENDED = ((720, 14.4), (120, 6.0), (10, 1.0))
"""(part of the objective's time, burn rate): of 30 days 1 hour, 6 hours and 3 days, in which 2, 5
and 10 % of the budget are used up. Table 5-8 of the source; the last is for tickets."""
SHORTEST_SHORT = timedelta(seconds=1)
# their share is one of good answers, and a budget is one of bad ones
_BETTER_WHEN_HIGH = ("similarity", "match_rate")
_COUNTED = (Source.TRAFFIC, Source.GATEWAY, Source.COMPARISON, Source.OUTCOME)


def _between(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError(f"{share:.4%} leaves no budget to burn; it must be above 0 % and below "
                         "100 %, for example 99.9%")
    return share


class BurnWindow(Part):
    """Two windows in which failures must burn the budget so many times as fast as allowed."""

    long: Duration = Field(description="The window that tells how much was burnt.")
    short: Duration | None = Field(
        None, description="The window that tells that it goes on; default: a twelfth of `long`.")
    burn: float = Field(
        gt=0, description="So many times the rate at which the budget lasts exactly for `over`.")

    @property
    def lasting(self) -> timedelta:
        """The short window."""
        return max(SHORTEST_SHORT, self.long / SHORT_PART) if self.short is None else self.short

    @model_validator(mode="after")
    def _is_shorter(self) -> BurnWindow:
        if self.lasting >= self.long:
            raise ValueError(f"short {format_duration(self.lasting)} must be shorter than long "
                             f"{format_duration(self.long)}")
        if self.lasting < SHORTEST_SHORT:
            raise ValueError("short must be at least 1s, because values are measured once per "
                             "second")
        return self


class BudgetSpec(Part):
    """An objective, and how fast its budget may burn."""

    objective: Annotated[Share, AfterValidator(_between)] = Field(
        description="Share of requests that must be good, as `99.9%`.")
    over: Duration = Field(timedelta(days=30), description="The time that the objective is for.")
    windows: list[BurnWindow] = Field(
        default=[], max_length=6,
        description="One of them is enough; default: those of the SRE workbook.")
    min_events: int = Field(
        5, ge=1,
        description="With fewer bad requests in the long window nothing burns: at low traffic "
        "one failure is a large share.")

    @property
    def allowed(self) -> float:
        """The share of requests that may be bad, 0..1."""
        return 1 - self.objective

    def burning(self, *, is_urgent: bool) -> list[BurnWindow]:
        """Return the windows: those of the plan, or the recommended ones.

        Args:
            is_urgent: Without those for tickets, that find slow burning over days.
        """
        if self.windows:
            return list(self.windows)
        chosen = RECOMMENDED[:2] if is_urgent else RECOMMENDED
        return [BurnWindow(long=self.over / part, burn=burn) for part, burn in chosen]


def can_burn(metric: str) -> bool:
    """Whether a metric is a share of counted requests that are bad."""
    found = METRICS[metric]
    is_bad_share = found.unit == "share" and metric not in _BETTER_WHEN_HIGH
    return is_bad_share and found.source in _COUNTED


def describe(windows: list[BurnWindow], budget: BudgetSpec) -> str:
    """Return a budget's condition for people."""
    said = " or ".join(
        f"{each.burn:g} × in {format_duration(each.long)} and {format_duration(each.lasting)}"
        for each in windows)
    return (f"burn the budget of {budget.objective * 100:g} % over "
            f"{format_duration(budget.over)} {said}")

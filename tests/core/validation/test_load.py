"""Load at growing rates: which rate a system still keeps up with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from changeover.analysis.histogram import Histogram
from changeover.checks.suites import load
from changeover.checks.suites.load import Served, check_load
from changeover.checks.suites.target import CheckTarget
from changeover.plan.load import parse_plan
from changeover.plan.suites import LoadCheck
from tests.core.plan.test_load import GOOD


@pytest.mark.parametrize(("answered", "knee", "told"), [
    ({20: 20, 40: 40, 80: 80}, None, "keeps up to 80 requests a second"),
    ({20: 20, 40: 38, 80: 76}, None, "keeps up to 80 requests a second"),
    ({20: 20, 40: 37.9, 80: 80}, 40, "the knee lies before 40: 37.9 a second are answered"),
    ({20: 10, 40: 40, 80: 80}, 20, "the knee lies before 20: 10 a second are answered"),
], ids=["all", "just", "second rate", "first rate"])
def test_load_ends_at_the_first_rate_that_is_not_kept_up_with(
    monkeypatch: pytest.MonkeyPatch, answered: dict[float, float], knee: float | None, told: str
) -> None:
    """Less than 95 % answered in time is the knee, and no higher rate is offered."""
    async def offer(_url: str, _paths: list[str], *, rate: float, **_rest: Any) -> Served:
        return Served(rate, answered[rate], failed=0, sent=10, latency=Histogram.of([1000]))

    monkeypatch.setattr(load, "offer", offer)
    spec = LoadCheck(kind="load", rates=[*answered], baseline=False)
    found = check_load(spec, CheckTarget(parse_plan(GOOD, "x"), Path()), lambda _done: None)
    assert (found.evidence["knee"], found.reason) == (knee, f"candidate: {told}")
    assert found.evidence["candidate"][-1]["rate"] == (knee or 80)

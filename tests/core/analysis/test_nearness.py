"""How near a trigger is to firing: one number, the same for every kind of trigger."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.nearness import MOST, nearness
from changeover.plan.triggers import TriggerSpec

BOUNDED = ("above", "at_least", "below", "at_most")


def trigger(**fields: Any) -> TriggerSpec:
    """Return a trigger on requests that fail."""
    given = {"name": "bad", "metric": "error_rate", "for": "1s", "action": "alert", **fields}
    return TriggerSpec.model_validate(given)


@pytest.mark.parametrize(("bound", "value", "expected"), [
    ({"above": "10%"}, 0.05, 0.5), ({"above": "10%"}, 0.1, 1.0), ({"above": "10%"}, 0.3, 3.0),
    ({"at_least": "10%"}, 0.0, 0.0),
    ({"metric": "up", "below": 0.5}, 1.0, 0.0), ({"metric": "up", "below": 0.5}, 0.75, 0.5),
    ({"metric": "up", "below": 0.5}, 0.25, 1.5), ({"metric": "up", "below": 1}, 1.0, 0.0),
    ({"metric": "up", "below": 1}, 0.9, MOST),
    ({"metric": "request_rate", "below": 5}, 10.0, 0.5),
    ({"metric": "request_rate", "below": 5}, 0.0, MOST),
    ({"between": ["10%", "20%"]}, 0.05, 0.5), ({"between": ["10%", "20%"]}, 0.15, 1.0),
    ({"between": ["10%", "20%"]}, 0.4, 0.5),
    ({"above": 0}, 0.0, 0.0), ({"above": 0}, 0.001, MOST),
], ids=str)
def test_a_bound_is_a_distance(bound: dict[str, Any], value: float, expected: float) -> None:
    """0 is far away, 1 is at the bound, more is beyond; low values are near where low is bad."""
    assert nearness(trigger(**bound), value, {}) == pytest.approx(expected)


def test_a_bound_against_the_baseline_needs_the_baseline() -> None:
    """The ratio, or the difference, is what comes near; the way begins where both are the same."""
    ratio = trigger(ratio_to_baseline=2, test="threshold")
    assert nearness(ratio, 0.02, {"baseline_value": 0.02}) == 0
    assert nearness(ratio, 0.03, {"baseline_value": 0.02}) == pytest.approx(0.5)
    assert nearness(ratio, 0.06, {"baseline_value": 0.02}) == pytest.approx(2)
    assert nearness(ratio, 0.02, {"baseline_value": None}) is None
    assert nearness(ratio, 0.0, {"baseline_value": 0.0}) is None
    difference = trigger(difference_to_baseline="4%", test="threshold")
    assert nearness(difference, 0.03, {"baseline_value": 0.01}) == pytest.approx(0.5)
    assert nearness(difference, 0.01, {"baseline_value": 0.03}) == 0


def test_evidence_and_budgets_have_their_own_measure() -> None:
    """Evidence against its bar, a burn rate against the lowest that fires."""
    evidence = trigger(ratio_to_baseline=2)
    assert nearness(evidence, 0.1, {"evidence": {"log_worse": 2.0, "log_bar": 4.0}}) == 0.5
    assert nearness(evidence, 0.1, {"evidence": {"log_worse": -3.0, "log_bar": 4.0}}) == 0
    assert nearness(evidence, 0.1, {}) is None
    budget = trigger(budget={"objective": "99%", "windows": [
        {"long": "1h", "short": "5m", "burn": 10}]})
    assert nearness(budget, 0.05, {"burn": 5.0}) == 0.5
    assert nearness(budget, 0.05, {"burn": None}) is None


@given(name=st.sampled_from(BOUNDED), bound=st.floats(0, 1), value=st.floats(0, 1))
def test_it_is_beyond_1_exactly_when_the_condition_is_true(
    name: str, bound: float, value: float
) -> None:
    """So that one alert serves all triggers, and none hides behind its unit."""
    found = nearness(trigger(**{name: bound}), value, {})
    assert found is not None
    assert 0 <= found <= MOST
    is_high = name in ("above", "at_least")
    is_beyond = value > bound if is_high else value < bound
    if is_beyond:
        assert found >= 1
    elif value != bound:
        assert found <= 1


@pytest.mark.parametrize("bound", [1.05, 1.3, 2])
def test_a_healthy_candidate_is_far_from_every_ratio(bound: float) -> None:
    """Else the alert on 80 % of the way would never end where the bound is below 1.25."""
    ratio = trigger(metric="latency_p95", ratio_to_baseline=bound, test="threshold")
    assert nearness(ratio, 0.1, {"baseline_value": 0.1}) == 0
    assert nearness(ratio, 0.101 * bound, {"baseline_value": 0.1}) > 1


def test_without_a_value_nobody_knows() -> None:
    """No data is not far away."""
    assert nearness(trigger(above="10%"), None, {}) is None

"""Conditions that no measurement can meet are refused, and those that one can meet are not."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.analysis.histogram import Histogram
from changeover.analysis.trigger import TriggerState, judge_windows, step
from changeover.analysis.window import (
    Measurements,
    Sample,
    Window,
    combine,
    of_gateway,
    outcomes_of,
)
from changeover.plan.metrics import METRICS
from changeover.plan.model import Plan
from changeover.plan.reach import unreachable
from changeover.plan.rules import check_plan, warnings
from changeover.plan.triggers import TriggerSpec
from tests.support.statuses import status_of

SYSTEM = {"name": "x", "url": "http://127.0.0.1:1", "process": {"command": ["x"]}}
OTHER = {**SYSTEM, "url": "http://127.0.0.1:2"}
BOUNDS = ("below", "above", "at_least", "at_most")
EXTREMES = {
    "share": ["0%", "50%", "100%"], "duration": ["0ms", "5ms"], "size": ["0B", "5MB"],
    "number": [0, 0.5, 1, 3],
}
PLAIN = sorted(METRICS)


def plan(**parts: Any) -> Plan:
    """Return a plan of one gradual stage and a shadow."""
    return Plan.model_validate({
        "migration": "m", "systems": {"baseline": SYSTEM, "candidate": OTHER},
        "shadow": {"sample": 50}, "phases": [
            {"phase": "gradual", "gates": list(parts.get("gates", ())),
             "stages": [{"percent": 50, "soak": "1h"}]}], **parts})


def trigger(metric: str, **bound: Any) -> dict[str, Any]:
    """Return a trigger over ten seconds."""
    return {"name": "t", "metric": metric, "for": "2s", "over": "10s", "action": "rollback",
            "min_samples": 5, **status_of(metric), **bound}


def windows(second: int) -> list[Window]:
    """Return windows in which each metric has its least value, its most, and some between."""
    found = []
    for count in (0, 5, 10):
        latency = Histogram({0: 10} if not count else {600 + count: 10})
        counts = {each.name: count for each in fields(Measurements) if each.default == 0}
        totals = dict.fromkeys(
            ("requests", "answers", "probes", "compared", "split_requests"), 10)
        others = dict.fromkeys(("outcomes", "failures", "arrived"), 0)
        row = Sample("candidate", second, 10, watched=10, listened=10, **{
            **counts, **totals, **others, "answer_bytes": count * 10_000_000,
            "split_successes": 10.0 * count,
            "errors": {"status_5xx": count}, "latency": latency,
            "statuses": {"404": count, "UNAVAILABLE": count, "OK": 10 - count},
            "memory_bytes": 1 + count * (1 << 30), "cpu_cores": float(count)})
        reported = Sample(outcomes_of("candidate"), second, 10, outcomes=10, failures=count,
                          durations=latency)
        refusing = of_gateway(Sample("gateway", second, 10, requests=10, errors={"x": count}))
        found.append(combine([row, reported, refusing], seconds=10))
    many = Sample("candidate", second, 10, requests=10_000, watched=10, listened=10)
    found.append(combine([many, Sample(outcomes_of("candidate"), second, 10, outcomes=10_000)],
                         seconds=10))
    found.append(combine([Sample("candidate", second, 10, watched=10, listened=10)], seconds=10))
    idle = Sample(
        "candidate", second, 10, requests=10, watched=10, memory_bytes=1, cpu_cores=0.001)
    return [*found, combine([idle], seconds=10)]


def fires(spec: dict[str, Any]) -> tuple[bool, bool]:
    """Return whether a trigger fires for some constant measurement, and whether one keeps it."""
    parsed = TriggerSpec.model_validate(spec)
    found = set()
    for window in windows(100):
        state, firing = TriggerState(), None
        for at in range(100, 110):
            state, now = step(parsed, state, judge_windows(parsed, window, None), at=at)
            firing = firing or now
        has_data = window.measure(parsed.measured.name).value is not None
        found |= {firing is not None} if has_data else set()
    return True in found, False in found


@pytest.mark.parametrize(("metric", "bound"), list(product(PLAIN, BOUNDS)))
def test_trigger_is_accepted_exactly_when_some_measurement_fires_it(
    metric: str, bound: str
) -> None:
    """For every metric and bound, at the ends of what can be measured and between them."""
    for value in EXTREMES[METRICS[metric].unit]:
        spec = trigger(metric, **{bound: value})
        problems = list(unreachable(plan(triggers=[spec])))
        assert (not problems) == all(fires(spec)), (spec, problems)


@pytest.mark.parametrize(("metric", "bound"), list(product(PLAIN, BOUNDS)))
def test_check_that_can_never_pass_is_refused(metric: str, bound: str) -> None:
    """One that always passes is told as well, but may stay."""
    for value in EXTREMES[METRICS[metric].unit]:
        condition = {"metric": metric, bound: value, "over": "10s", "min_samples": 5,
                     **status_of(metric)}
        built = plan(gates={"g": [condition]})
        can_pass, can_fail = fires(trigger(metric, **{bound: value}))
        assert (not list(unreachable(built))) == can_pass
        assert any("passes whatever happens" in note for note in warnings(built)) == (not can_fail)


@given(st.integers(1, 30), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60)
def test_share_of_probes_between_two_values_is_accepted_when_some_number_of_probes_gives_it(
    seconds: int, min_samples: int, one: float, two: float
) -> None:
    """A probe a second gives few shares in a short window; `between` may lie beside all of them."""
    low, high = sorted((one, two))
    if low == high:
        return
    spec = trigger("up", between=[low, high]) | {"over": f"{seconds}s", "min_samples": min_samples}
    fewest = max(1, min(min_samples, int(seconds * 0.8)))
    shares = {up / probes for probes in range(fewest, seconds + 1) for up in range(probes + 1)}
    is_met, is_missed = (any((low <= share <= high) is wanted for share in shares)
                         for wanted in (True, False))
    assert (not list(unreachable(plan(triggers=[spec])))) == (is_met and is_missed)


@pytest.mark.parametrize(("spec", "words"), [
    (trigger("outcome_rate", below=0), "can never be below 0"),
    (trigger("error_rate", above="100%"), "it is 0.000 % to 100.000 %"),
    (trigger("error_rate", at_least="0%"), "it would fire at once"),
    (trigger("up", above=1), "one probe a second gives 10"),
    (trigger("error_rate", above="1%") | {"min_samples": 2_000_000}, "at 100000 per second"),
    (trigger("match_rate", below="9%") | {"min_samples": 600_000}, "lower min_samples"),
    (trigger("similarity", below="9%", of="baseline"), "counts for the candidate only"),
    (trigger("similarity", ratio_to_baseline=1.1), "the baseline has no value of its own"),
    (trigger("error_rate", difference_to_baseline="100%"), "more than 100.000 % above"),
    (trigger("error_rate", above="1%") | {"over": "500ms"}, "the window must be at least 1s"),
    (trigger("error_rate", above="1%") | {"over": "300d"}, "longer than measurements are saved"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_refusal_says_the_numbers_and_what_would_work(spec: dict[str, Any], words: str) -> None:
    """A person mends the plan from the sentence alone."""
    problems = check_plan(plan(triggers=[spec]))
    assert any(words in problem.text for problem in problems), problems
    assert all(problem.path[:2] == ("triggers", 0) for problem in problems)


def test_rate_of_nobody_is_refused_as_a_gate() -> None:
    """In the shadow phase no user is on the candidate: the gate would roll back."""
    phases = [{"phase": "shadow", "soak": "1h", "gates": ["g"]}]
    gates = {"g": [{"metric": "request_rate", "at_least": 1}]}
    problems = check_plan(plan(phases=phases, gates=gates))
    assert [problem.path for problem in problems] == [("gates", "g", 0)]
    assert "nobody is on the candidate" in problems[0].text


def test_comparisons_of_nothing_are_refused() -> None:
    """A shadow that copies nothing gives no data."""
    spec = trigger("match_rate", below="90%") | {"min_samples": 1}
    problems = check_plan(plan(triggers=[spec], shadow={"sample": 0}))
    assert any("sample is 0" in problem.text for problem in problems)


def silent(metric: str, watched: int, of: int = 10) -> bool:
    """Return whether a trigger on a rate below 1 fires on nothing, watched for some seconds."""
    spec = TriggerSpec.model_validate(trigger(metric, below=1))
    row = Sample("candidate", 100, of, watched=watched, listened=watched)
    state, fired = TriggerState(), None
    for at in range(100, 110):
        judged = judge_windows(spec, combine([row], seconds=of), None)
        state, now = step(spec, state, judged, at=at)
        fired = fired or now
    return fired is not None


@pytest.mark.parametrize("metric", ["request_rate", "outcome_rate"])
def test_rate_that_falls_to_nothing_is_zero_when_somebody_looked(metric: str) -> None:
    """When nobody looked for most of the window, nothing is known."""
    assert silent(metric, watched=10)
    assert not silent(metric, watched=4)
    assert not silent(metric, watched=0)

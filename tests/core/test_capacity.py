"""Whether rolling back would still fit: what counts as measured, what as too much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.capacity import (
    Fit,
    Known,
    Measured,
    Shrink,
    in_effect,
    judge,
    of_load,
    shrinking_after,
)
from changeover.errors import InvalidPlan
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.plan.rules import warnings

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LOAD = Measured(400, NOW - timedelta(days=3), "pre_cutover")
PLAN = """
migration: shop
systems:
  baseline:  {name: old, url: 'http://127.0.0.1:1'}
  candidate: {name: new, url: 'http://127.0.0.1:2'}
routing: {listen: '127.0.0.1:3', key: {header: x-user-id}}
phases:
  - {phase: beta, percent: 5, soak: 1h}
  - phase: gradual
    stages:
      - {percent: 10, soak: 1h}
      - percent: 50
        soak: 1h
        hooks: {before: [{lever: halve, undo: double}], after: [{lever: warm, undo: none}]}
  - {phase: full, soak: 1h}
cutover:
  final: {levers: [quarter]}
  disable_baseline: {levers: [stop], undo: [start]}
levers:
  halve:   {command: [a], shrinks: baseline, leaves: 50%}
  quarter: {command: [a], shrinks: baseline}
  double:  {command: [a]}
  warm:    {command: [a]}
  stop:    {command: [a], shrinks: baseline, leaves: 0}
  start:   {command: [a]}
rollback: {restore: [double]}
"""


def known(arriving: float | None = 310, **changes: Any) -> Known:
    """What is known of a baseline that a load suite measured three days ago."""
    return Known(**{"load": LOAD, "observed": None, "arriving": arriving, "shrunk": (),
                    "now": NOW, **changes})


def plan() -> Plan:
    return parse_plan(PLAN, "own.yaml")


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def test_the_sentence_has_the_numbers() -> None:
    """One sentence for people: what was measured, when and how, what arrives, what follows."""
    assert judge(known()).text == (
        "The baseline was last measured at 400 requests/s (load of suite pre_cutover, 3 days ago); "
        "now 310/s arrive in all at the busiest minute of 1d, 372/s with 20% headroom: "
        "rolling back would still fit")
    assert judge(known(334)).text.endswith("400.8/s with 20% headroom: rolling back would NOT fit")


def test_what_a_lever_leaves_is_counted_before_it_is_pulled() -> None:
    """The question is about the baseline after the lever."""
    found = judge(known(150), [Shrink("halve", 0.5)])
    assert (found.fit, found.capacity) == (Fit.FITS, 200)
    assert found.text.startswith("`halve` makes the baseline smaller. The baseline was last")
    assert "`halve` leaves 50 % of it, 200 requests/s; now 150/s" in found.text
    assert judge(known(), [Shrink("halve", 0.5)]).fit is Fit.DOES_NOT


@pytest.mark.parametrize(("changes", "expected"), [
    ({"load": None}, "Nobody has measured what the baseline bears: whether rolling back"),
    ({"arriving": None}, "but nobody has counted what arrives in all: whether rolling back"),
    ({"load": Measured(400, ago(31 * 24), "old")}, "Nobody has measured"),
    ({"shrunk": (Shrink("quarter", None, ago(1)),)}, "how much of that `quarter` leaves"),
], ids=["never measured", "nothing counted", "measured too long ago", "lever of unknown effect"])
def test_what_nobody_measured_is_not_known(changes: dict[str, Any], expected: str) -> None:
    """Neither a pass nor a failure, with how to measure it."""
    found = judge(known(**changes))
    assert (found.fit, expected in found.text) == (Fit.UNKNOWN, True)
    assert "kind: load" in found.text


def test_a_measurement_after_the_lever_counts_as_it_is() -> None:
    """What was measured before it is reduced by what the lever left, never the other way round."""
    shrunk = (Shrink("halve", 0.5, ago(80)),)
    assert judge(known(shrunk=shrunk)).capacity == 400
    earlier = (Shrink("halve", 0.5, ago(1)),)
    found = judge(known(shrunk=earlier))
    assert (found.capacity, found.fit) == (200, Fit.DOES_NOT)
    observed = Measured(260, ago(0.5))
    found = judge(known(255, shrunk=earlier, observed=observed))
    assert (found.capacity, found.fit) == (260, Fit.FITS)


def test_what_users_asked_is_borne_but_more_is_not_known_to_be_too_much() -> None:
    """The busiest minute shows what the baseline can do at least."""
    seen = Measured(310, ago(24))
    assert judge(known(310, load=None, observed=seen)).fit is Fit.FITS
    assert judge(known(311, load=None, observed=seen)).fit is Fit.UNKNOWN
    # once it is smaller by half, more than half of that was never seen
    halved = (Shrink("halve", 0.5, ago(1)),)
    assert judge(known(311, load=None, observed=seen, shrunk=halved)).fit is Fit.DOES_NOT


@given(capacity=st.floats(1, 1e5), arriving=st.floats(0, 1e5), left=st.floats(0, 0.99))
def test_less_capacity_and_more_traffic_never_help(
    capacity: float, arriving: float, left: float
) -> None:
    """What does not fit does not begin to fit when the baseline shrinks or traffic grows."""
    def fit(per_second: float, of_all: float, *coming: Shrink) -> Fit:
        measured = Measured(per_second, ago(1), "load")
        return judge(known(of_all, load=measured), coming).fit

    before = fit(capacity, arriving)
    after = (fit(capacity, arriving, Shrink("halve", left)), fit(capacity, arriving * 1.1),
             fit(capacity * 0.9, arriving))
    if before is Fit.DOES_NOT:
        assert set(after) == {Fit.DOES_NOT}


def test_a_load_check_says_which_rate_was_borne() -> None:
    """The highest rate that was kept up with, without many failures."""
    rows = [{"rate": 100, "answered_per_second": 99, "sent": 1000, "failed": 0},
            {"rate": 200, "answered_per_second": 199, "sent": 2000, "failed": 20},
            {"rate": 400, "answered_per_second": 390, "sent": 4000, "failed": 41},
            {"rate": 800, "answered_per_second": 500, "sent": 8000, "failed": 0}]
    assert of_load(rows) == 200
    assert of_load(rows[3:]) is None
    assert of_load([]) is None


def test_what_was_undone_is_in_effect_no_more() -> None:
    """By the hook's lever that undoes it; one that failed undoes nothing."""
    pulled = [("halve", ago(5), True), ("warm", ago(4), True)]
    assert [each.lever for each in in_effect(plan(), pulled)] == ["halve"]
    failed = [*pulled, ("double", ago(3), False)]
    assert [each.lever for each in in_effect(plan(), failed)] == ["halve"]
    assert in_effect(plan(), [*pulled, ("double", ago(3), True)]) == ()
    # a lever that failed may have acted
    assert [each.lever for each in in_effect(plan(), [("stop", ago(2), False)])] == ["stop"]
    assert in_effect(plan(), [("stop", ago(2), True), ("start", ago(1), True)]) == ()


def test_a_stage_knows_what_its_promotion_makes_smaller() -> None:
    """Its own hooks, those before the next stage, and the final levers after the last one."""
    found = {stage.key: [each.lever for each in shrinking_after(plan(), stage.key)]
             for stage in plan().stages()}
    assert found == {"beta-5": [], "gradual-10": ["halve"], "gradual-50": [], "full": ["quarter"]}


@pytest.mark.parametrize(("find", "replace", "expected"), [
    ("warm:    {command: [a]}", "warm:    {command: [a], shrinks: candidate}",
     "line 23, levers.warm.shrinks: 'candidate' is unknown; allowed are baseline"),
    ("warm:    {command: [a]}", "warm:    {command: [a], leaves: 50%}",
     "`leaves` belongs to `shrinks: baseline`"),
    ("leaves: 50%", "leaves: 150%", "line 20, levers.halve.leaves"),
    ("leaves: 50%", "leaves: 100%", "then nothing shrinks; allowed are 0% to less than 100%"),
    ("restore: [double]", "restore: [halve]",
     "line 26, rollback.restore[0]: lever 'halve' makes the baseline smaller"),
    ("undo: [start]", "undo: [halve]", "cutover.disable_baseline.undo[0]: lever 'halve' makes"),
    ("undo: double", "undo: quarter", "hooks.before[0].undo: lever 'quarter' makes"),
    ("percent: 5, soak: 1h", "percent: 5, soak: 1h, hooks: {before: [{lever: halve, undo: none}]}",
     "phases[0].hooks.before[0].lever: lever 'halve' makes the baseline smaller (`shrinks: "
     "baseline`), while it still has everyone; pull it in a later stage"),
])
def test_levers_that_shrink_at_the_wrong_time_are_refused(
    find: str, replace: str, expected: str
) -> None:
    """One message with the place and what is allowed."""
    assert find in PLAN
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(PLAN.replace(find, replace, 1), "own.yaml")
    assert any(expected in problem for problem in refused.value.problems), refused.value.problems


def test_plan_check_names_levers_that_always_ask() -> None:
    """Nobody can tell whether a rollback fits after a lever that does not say what it leaves."""
    found = [each for each in warnings(plan()) if "`leaves`" in each]
    assert found == ["lever quarter does not say what it leaves of the baseline (`leaves`): people "
                     "are asked before it is pulled"]

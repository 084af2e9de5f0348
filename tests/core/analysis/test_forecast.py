"""What a stage's checks would see: said before the night, by the method that judges it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from changeover.analysis.sequential.forecast import Asked, forecast, stated
from changeover.analysis.sequential.slow import slow_times
from changeover.cli.estimate import estimate
from changeover.errors import ChangeoverError, InvalidInput

BUSY = stated(200, 2000, 0.001)
ASKED = Asked(weight=1000, seconds=1800, margin=1.0, is_slow=False, alpha=0.01, times=5)


def test_larger_harm_is_shown_sooner() -> None:
    """The same futures, with more of them bad."""
    small, large = (forecast(BUSY, Asked(1000, 1800, 1.0, False, 0.01, times))
                    for times in (3, 20))
    assert large.half is not None
    assert small.half is None or small.half > large.half
    assert large.found == 1.0


def test_no_harm_is_hardly_ever_shown() -> None:
    """A candidate like the baseline is found in hardly any future."""
    assert forecast(BUSY, Asked(1000, 1800, 1.0, False, 0.01, 1.0)).found <= 0.05


def test_longer_soaks_pass_more_often() -> None:
    """What a healthy candidate needs to pass is time."""
    passed = [forecast(BUSY, Asked(5000, seconds, 2.0, False, 0.01, 5)).passed
              for seconds in (60, 3600)]
    assert passed[0] < 0.2
    assert passed[1] > 0.8


def test_forecast_is_the_same_each_time() -> None:
    """Nobody draws until it looks good."""
    assert forecast(BUSY, ASKED) == forecast(BUSY, ASKED)


def test_stated_users_make_the_traffic_that_was_stated() -> None:
    """Rate and share are what the person said, however users differ."""
    assert BUSY.per_second.sum() == pytest.approx(200)
    assert (BUSY.per_second * BUSY.bad).sum() / 200 == pytest.approx(0.001, rel=0.05)


@pytest.mark.parametrize(("margin", "slower", "times"), [(1.1, 1.1, 1.0), (1.1, 1.0, 0.73),
                                                         (1.0, 1.2, 1.73)])
def test_slow_requests_grow_with_durations_and_shrink_with_the_margin(
    margin: float, slower: float, times: float
) -> None:
    """Exactly at the margin as many are slow as ever."""
    assert slow_times(0.95, margin, slower) == pytest.approx(times, abs=0.01)


PLAN = """\
migration: shop
systems:
  baseline: {name: old, url: "http://127.0.0.1:8101"}
  candidate: {name: new, url: "http://127.0.0.1:8102"}
routing: {listen: "127.0.0.1:8100"}
gates: {slo: [{metric: error_rate, BOUND}]}
phases:
  - phase: gradual
    gates: [slo]
    stages: [{percent: 1, soak: 10m}, {percent: 50, soak: 4h}]
"""


def run(folder: Path, bound: str, *arguments: str, plan: str = PLAN) -> Result:
    """Return what the command says of a plan with one check."""
    path = folder / "plan.yaml"
    path.write_text(plan.replace("BOUND", bound))
    return CliRunner().invoke(estimate, [str(path), *arguments], standalone_mode=False)


def test_stage_that_is_too_short_for_its_gate_is_named(tmp_path: Path) -> None:
    """The small stage of ten minutes hides the harm; the large one of four hours shows it."""
    done = run(tmp_path, "ratio_to_baseline: 2", "--rate", "200", "--output", "json")
    assert done.exception is None
    short, long = json.loads(done.stdout)
    assert "too short to show this harm" in short["warning"]
    assert long["warning"] == ""
    assert long["half_seconds"] < 1800
    assert long["passed"] > 0.9


def test_check_of_a_segment_is_about_the_users_in_it(tmp_path: Path) -> None:
    """A twentieth of the users shows later what all of them show; nobody guesses how many it is."""
    about = "ratio_to_baseline: 2, segment: beta"
    path_of = PLAN.replace('"127.0.0.1:8100"}', '"127.0.0.1:8100", segments: {beta: {header: '
                           'x-cohort, any_of: [beta]}}}').replace("percent: 1, soak: 10m}, {", "")
    asked = ("--rate", "200", "--output", "json")
    few = run(tmp_path, about, *asked, "--segment", "beta=5%", plan=path_of)
    everybody = run(tmp_path, "ratio_to_baseline: 2", *asked, plan=path_of)
    found = [json.loads(done.stdout)[0]["found"] for done in (few, everybody)]
    assert found[0] < found[1]
    unsaid = run(tmp_path, about, *asked, plan=path_of)
    assert isinstance(unsaid.exception, InvalidInput)
    assert unsaid.exception.allowed == "beta=SHARE, as beta=5%"
    wrong = run(tmp_path, about, *asked, "--segment", "beta", plan=path_of)
    assert "beta is no NAME=SHARE" in str(wrong.exception)


def test_plan_without_such_checks_says_so(tmp_path: Path) -> None:
    """An absolute bound needs no futures."""
    done = run(tmp_path, "below: 1%", "--rate", "200")
    assert done.exception is None
    assert "no check of this plan compares users" in done.output


def test_without_a_rate_something_must_have_been_measured(tmp_path: Path) -> None:
    """A home in which nothing was started has no traffic to go by."""
    done = run(tmp_path, "ratio_to_baseline: 2", "--home", str(tmp_path / "none"))
    assert isinstance(done.exception, ChangeoverError)

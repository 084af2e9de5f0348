"""Durations, time ranges, what comes next, and how near a trigger is: as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from changeover.console.kept import Kept
from changeover.console.pages.nearness import near_to
from changeover.console.pages.ranges import RANGES, range_of
from changeover.console.pages.upcoming import stands, upcoming
from changeover.console.pages.words import moment, since
from changeover.domain.time_words import about
from changeover.errors import InvalidInput
from changeover.plan.triggers import TriggerSpec

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
QUIET: dict[str, Any] = {
    "routing": {"mode": "gradual"}, "returning": None, "ended_runs": [], "waiting_for": None,
    "pause": None, "freeze": None, "cutover": {"status": "running"}, "stages": [
        {"key": "beta-5", "status": "soaking",
         "soak_until": (NOW + timedelta(minutes=12)).isoformat()}]}


@pytest.mark.parametrize(("seconds", "text"), [
    (-5, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"),
    (12_000, "3 h 20 min"), (172_800, "2 d"), (187_200, "2 d 4 h")])
def test_a_duration_has_the_digits_that_matter(seconds: float, text: str) -> None:
    assert about(timedelta(seconds=seconds)) == text


def test_moments_are_utc_also_when_they_are_written_elsewhere() -> None:
    """ISO 8601 with an offset is the same moment."""
    assert moment("2026-11-29T13:00:00+02:00") == "2026-11-29 11:00:00"
    assert since("2026-11-29T11:48:00+00:00", NOW) == "12 min ago"


def test_a_time_range_ends_now_and_all_begins_with_the_first_measurement() -> None:
    """Without measurements it has ten minutes; an unknown one is refused with those there are."""
    assert range_of("6h").start(NOW, None) == NOW - timedelta(hours=6)
    first = NOW - timedelta(days=40)
    assert range_of("all").start(NOW, first) == first
    assert range_of("all").start(NOW, None) == NOW - timedelta(minutes=10)
    assert range_of(None) in RANGES
    with pytest.raises(InvalidInput, match="10m, 1h, 6h, 24h, 7d, 30d, all"):
        range_of("2h")


@pytest.mark.parametrize(("more", "text", "needs"), [
    ({}, "The soak of beta-5 ends in 12 min; if its gates pass: gradual 10 %.", False),
    ({"waiting_for": {"stage": "beta-5"}},
     "Gradual 10 %, once people have answered about beta-5.", True),
    ({"pause": {"actor": "ann"}}, "Nothing, until a person resumes: the cutover is paused.", True),
    ({"freeze": "by ann"},
     "Nobody is moved while the freeze lasts; rollbacks are possible.", False),
    ({"routing": {"mode": "emergency_rollback"}, "pause": {"actor": "ann"}},
     "Nothing, until a person ends the rollback with `changeover recover --reason TEXT`.", True),
    ({"ended_runs": [{"subject": "schedule health-check"}]},
     "The soak of beta-5 ends in 12 min; if its gates pass: gradual 10 %.", False),
    ({"ended_runs": [{"subject": "cutover 3"}]},
     "Nothing, until a person continues cutover 3: its flow run has ended.", True),
    ({"stages": []}, "The first stage, once the preparation is done.", False),
    ({"cutover": None},
     "Nothing is planned: `prefect deployment run cutover/main` begins a cutover.", True),
    ({"cutover": {"status": "promoted"}},
     "Nothing is planned: the cutover was promoted.", False)])
def test_what_comes_next_is_one_sentence(more: dict[str, Any], text: str, needs: bool) -> None:
    """The most pressing thing first: nobody waits for a soak that a rollback has ended."""
    found = upcoming(QUIET | more, "gradual 10 %", NOW)
    assert (found.text, found.needs_person) == (text, needs)


def test_a_gate_is_counted_worst_first() -> None:
    checks = [{"verdict": each} for each in ("pass", "fail", "pass", "inconclusive")]
    assert stands(checks) == "1 would fail, 1 undecided, 2 would pass"
    assert stands([]) == "nothing judged yet"


def trigger(**fields: Any) -> TriggerSpec:
    """Return a trigger of the candidate's error rate."""
    known = {"name": "t", "metric": "error_rate", "of": "candidate", "action": "rollback"}
    if "ratio_to_baseline" not in fields:
        known["for"] = "1s"
    return TriggerSpec.model_validate(known | fields)


@pytest.mark.parametrize(("fields", "standing", "share", "text"), [
    ({"above": "10%"}, {"value": 0.02}, 0.2, "20 % of the bound"),
    ({"above": "10%"}, {"value": 0.5}, 1.0, "100 % of the bound"),
    ({"above": "10%"}, {"value": None}, None, "not known"),
    ({"above": "10%"}, {"value": 0.02, "is_old": True}, None, "not known"),
    ({"metric": "up", "below": 1}, {"value": 1.0}, 0.0, "it answers"),
    ({"metric": "up", "below": 1}, {"value": 0.0}, 1.0, "down"),
    ({"ratio_to_baseline": 2},
     {"value": 0.02, "evidence": {"evidence": {"log_worse": 2.0, "log_bar": 8.0}}},
     0.25, "25 % of the evidence that fires"),
    ({"ratio_to_baseline": 2}, {"value": 0.02}, None, "not known"),
    ({"ratio_to_baseline": 2, "test": "threshold", "for": "1s"},
     {"value": 0.03, "evidence": {"baseline_value": 0.02}},
     0.5, "50 % of the way from the baseline to the bound")])
def test_nearness_is_the_part_of_the_way_to_firing(
    fields: dict[str, Any], standing: dict[str, Any], share: float | None, text: str
) -> None:
    """Evidence counts by evidence, a bound by its value; what is not known is no zero."""
    found = near_to(trigger(**fields), {"is_old": False, "evidence": {}} | standing)
    assert found.text == text
    assert found.share == (share if share is None else pytest.approx(share))


def test_what_was_made_is_kept_for_its_time_and_a_clock_set_back_does_not_keep_it() -> None:
    """It is made again when it is too old, and when the present lies before it."""
    made: list[float] = []
    kept = Kept()

    def get(now: float) -> float:
        return kept.get("figures", 10, now, lambda: made.append(now) or now)

    assert [get(100), get(109), get(111), get(50)] == [100, 100, 111, 50]

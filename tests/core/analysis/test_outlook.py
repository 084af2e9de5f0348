"""How much longer an undecided check needs: told while a stage soaks, decides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from changeover.analysis.check import CheckResult
from changeover.analysis.sequential.buckets import Counts, Split
from changeover.analysis.sequential.evidence import Question
from changeover.analysis.sequential.expected import expect
from changeover.analysis.sequential.judging import LOG_PASS, judge_by_buckets, view_of
from changeover.analysis.sequential.outlook import (
    FARTHEST,
    RATIOS,
    Outlook,
    View,
    look_ahead,
    possible_ratios,
)
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.sequential.starts import log_bar
from changeover.domain.routing import BUCKETS
from changeover.domain.verdict import Verdict
from changeover.procedures.outlooks import Remembered, Thorough, larger_shares
from tests.core.analysis.test_judging import NOON, check, hour, sums
from tests.integration.conftest import make_plan


def counted(requests: float, shares: tuple[float, float], weight: int, seed: int = 1) -> Counts:
    """Return what the buckets did when the candidate and the baseline had these bad shares."""
    chance = np.random.default_rng(seed)
    number = chance.poisson(10 * requests, BUCKETS)
    # a tenth of the buckets has users, the same ones each time
    number[np.random.default_rng(5).random(BUCKETS) > 0.1] = 0
    share = np.where(np.arange(BUCKETS) < weight, *shares)
    return Counts(number, chance.binomial(number, share))


def undecided(
    requests: float = 1.0, times: float = 1.0, weight: int = 1000, margin: float = 2.0
) -> View:
    """Return ten minutes of a stage with 0.5 % errors, after an hour of the baseline."""
    past = counted(6 * requests, (0.005, 0.005), weight, seed=9)
    stage = counted(requests, (0.005 * times, 0.005), weight)
    return View(Question(stage, past, Split(weight), margin), 600, log_bar(0.01), LOG_PASS)


def test_more_traffic_needs_less_time() -> None:
    """What is missing is requests; three times as many bring them sooner."""
    few, many = (look_ahead(undecided(requests)) for requests in (0.3, 1.0))
    assert few is not None and many is not None
    assert many.seconds is not None
    assert few.seconds is None or few.seconds > many.seconds


def test_same_view_has_the_same_outlook() -> None:
    """Nobody draws until it looks good."""
    assert look_ahead(undecided()) == look_ahead(undecided())


def test_at_the_margin_no_time_tells() -> None:
    """A candidate that may be exactly at its margin is not promised a verdict."""
    found = look_ahead(undecided(requests=30, times=2.0), (5000,))
    assert found is not None
    assert found.seconds is None


def test_larger_share_is_told_where_it_is_sooner() -> None:
    """One user of a hundred tells little; half of them tell soon."""
    found = look_ahead(undecided(requests=0.3, weight=100), (5000,))
    assert found is not None and found.larger is not None
    weight, seconds = found.larger
    assert weight == 5000
    assert found.seconds is None or seconds < found.seconds


def test_without_requests_nothing_is_foretold() -> None:
    """No traffic has no future."""
    view = undecided()
    assert look_ahead(replace(view, question=replace(view.question, counts=Counts.none()))) is None
    assert look_ahead(replace(view, seconds=0)) is None


def test_without_any_bad_request_no_time_is_told() -> None:
    """Zero errors never pass, however long one waits: people are told what would help."""
    view = undecided()
    none = Counts(view.question.counts.requests, np.zeros(BUCKETS, np.int64))
    found = look_ahead(replace(view, question=replace(view.question, counts=none, past=none)))
    assert found is not None
    assert (found.seconds, found.larger) == (None, None)
    assert "an absolute bound" in found.text


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_possible_ratios_follow_what_was_counted(times: float) -> None:
    """With enough requests the true ratio is the most probable one."""
    past = counted(60, (0.01, 0.01), 3000, seed=9)
    stage = counted(60, (0.01 * times, 0.01), 3000)
    chances, levels = possible_ratios(stage, expect(stage, past), np.arange(BUCKETS) < 3000)
    assert chances.sum() == pytest.approx(1)
    assert RATIOS[chances.argmax()] == pytest.approx(times, rel=0.1)
    assert levels[chances.argmax()] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("outlook", "text"), [
    (Outlook(2400, 1e5), "about 40 minutes more at this traffic (80 % of the time)"),
    (Outlook(2400, 1e5, (2500, 900)),
     "about 40 minutes more at this traffic, 15 minutes at 25 % (80 % of the time)"),
    (Outlook(None, 1e5, (5000, 7200)),
     "only a larger share helps: about 120 minutes at 50 % (80 % of the time)"),
    (Outlook(None, 36_000), "more than 10 hours at this traffic, and no larger share helps: the "
                            "candidate may be close to the margin"),
])
def test_outlook_is_one_sentence_of_people(outlook: Outlook, text: str) -> None:
    """As somebody would say it who is asked "how much longer?"."""
    assert outlook.text == text
    assert outlook.document()["text"] == text


PLAN = make_plan(
    gates={"slo": [{"metric": "up", "at_least": 1}]},
    phases=[{"phase": "gradual", "gates": ["slo"], "stages": [
        {"percent": percent, "soak": "1h"} for percent in (10, 25, 40, 50)]}])


@pytest.mark.parametrize(("weight", "shares"), [
    (1000, [2500, 4000]), (4000, [5000]), (5000, []), (7000, [])])
def test_larger_shares_are_those_of_the_plan(weight: int, shares: list[int]) -> None:
    """People are told of steps that they could take."""
    assert larger_shares(PLAN, weight) == shares


def little(requests: int = 1) -> StageSums:
    """Return an hour of little traffic, with a tenth of the users on the candidate."""
    return sums(hour((0.01, 0.01), requests, weight=500))


def judged(requests: int = 1) -> CheckResult:
    """Return a check that an hour of little traffic leaves undecided."""
    return judge_by_buckets(check(), little(requests))


def test_undecided_check_says_how_much_longer() -> None:
    """What a person reads of the gate ends with it."""
    found = Thorough(PLAN)(check(), judged(), little())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.outlook is not None
    assert found.full_reason.endswith(found.outlook["text"])
    assert found.as_evidence()["outlook"] == found.outlook


def test_decided_check_has_no_outlook() -> None:
    """Who knows the answer does not ask how long it takes."""
    stage = sums(hour((0.05, 0.01)))
    assert Thorough(PLAN)(check(), judge_by_buckets(check(), stage), stage).outlook is None


def test_check_that_cannot_be_judged_has_no_outlook() -> None:
    """With everyone on one system, time changes nothing."""
    stage = replace(little(), weight=0, parts=[])
    assert view_of(check(), stage) is None
    assert Thorough(PLAN)(check(), judge_by_buckets(check(), stage), stage).outlook is None


def test_outlook_is_remembered_until_the_stage_is_a_fifth_older() -> None:
    """Looking every few seconds must not cost a core."""
    stage = little()
    soon = replace(stage, end=NOON + timedelta(minutes=65), parts=little(2).parts)
    late = replace(soon, end=NOON + timedelta(minutes=80))
    remembered = Remembered(PLAN)
    first, same, anew = (remembered(check(), judged(), each) for each in (stage, soon, late))
    assert first.outlook == same.outlook
    assert anew.outlook is not None and first.outlook is not None
    assert anew.outlook["farthest"] == FARTHEST * 4800 > first.outlook["farthest"]

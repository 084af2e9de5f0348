"""Guardrails see a candidate that answers wrongly, and stay quiet about two healthy systems."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis import guardrails
from changeover.analysis.check import CheckResult
from changeover.analysis.guardrail_rollback import takes_all, usual_of
from changeover.analysis.guardrails import COUNTED, Evidence, Regression
from changeover.analysis.window import SPLIT, Met, Window, fewest
from changeover.domain.verdict import Verdict
from changeover.plan.guardrails import Guardrail

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = Window(seconds=60)
FIELDS = {
    Guardrail.ERRORS: lambda bad: {"errors": {"status_5xx": bad}},
    Guardrail.CLIENT_ERRORS: lambda bad: {"client_errors": bad},
    Guardrail.REDIRECTS: lambda bad: {"redirects": bad},
    Guardrail.EMPTY_ANSWERS: lambda bad: {"empty_answers": bad},
}
KINDS = sorted(COUNTED)


def users(number: int, *, offset: int = 0, flag: int = SPLIT) -> tuple[int, ...]:
    """Return the numbers of so many users, spread as hashes are."""
    return fewest((each + offset) * 2_654_435_761 % (1 << 32) & ~SPLIT | flag
                  for each in range(number))


def window(
    name: Guardrail, total: int, bad: int, *, of: int = 0, met: int = 0, offset: int = 0,
    flag: int = SPLIT,
) -> Window:
    """Return a window of `of` users of whom `met` met what the guardrail counts."""
    everyone = users(of, offset=offset, flag=flag)
    return Window(seconds=60, requests=total, answers=total, **FIELDS[name](bad), users={
        Met.ANSWER: everyone, COUNTED[name][0]: users(met, offset=offset, flag=flag)})


def judged(name: Guardrail, own: Window, baseline: Window, **changes: object) -> CheckResult:
    """Return a guardrail's verdict at a stage where a tenth of the users is split off."""
    evidence = Evidence(own=own, baseline=baseline, before=NOBODY, share=0.1, regressions=None,
                        groups=None, accepted=frozenset(), start=MOMENT, end=MOMENT)
    (found,) = guardrails.judge_guardrails([name], replace(evidence, **changes))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("name", KINDS)
def test_candidate_that_answers_everybody_wrongly_is_seen(name: Guardrail) -> None:
    """Thirty requests of ten users suffice when the baseline is well."""
    own = window(name, 30, 30, of=10, met=10)
    assert judged(name, own, window(name, 500, 0, of=90, offset=50)).verdict is FAIL


@pytest.mark.parametrize("name", KINDS)
def test_the_same_share_on_both_sides_is_quiet(name: Guardrail) -> None:
    """A system that always answers so is no alarm."""
    own = window(name, 300, 290, of=30, met=30)
    assert judged(name, own, window(name, 3000, 2900, of=90, met=90, offset=50)).verdict is PASS


@pytest.mark.parametrize("name", KINDS)
def test_one_busy_user_alarms_nobody(name: Guardrail) -> None:
    """Most requests are one robot's, which happened to be split off: no more users met it."""
    own = window(name, 1000, 800, of=20, met=1)
    assert judged(name, own, window(name, 3000, 5, of=90, met=2, offset=50)).verdict is PASS


def test_a_rare_error_of_many_users_is_seen() -> None:
    """Three of a hundred requests, met by forty users, none of them the baseline's."""
    own = window(Guardrail.CLIENT_ERRORS, 3000, 90, of=2000, met=40)
    other = window(Guardrail.CLIENT_ERRORS, 9000, 9, of=9000, met=3, offset=5000)
    found = judged(Guardrail.CLIENT_ERRORS, own, other)
    assert found.verdict is FAIL
    assert "client_error_rate of candidate 3.000 % in 3000" in found.reason


@pytest.mark.parametrize(("name", "share"), list(product(KINDS, (None, 0.1))))
def test_everybody_on_the_candidate_is_compared_with_the_time_before(
    name: Guardrail, share: float | None
) -> None:
    """In the full phase the baseline serves nobody; how it answered before is known."""
    own = window(name, 300, 300, of=60, met=60)
    before = window(name, 900, 0, of=60, flag=0)
    assert judged(name, own, NOBODY, before=before, share=share).verdict is FAIL
    assert judged(name, own, NOBODY, before=own, share=share).verdict is PASS


@pytest.mark.parametrize("name", KINDS)
def test_users_without_keys_need_a_large_difference(name: Guardrail) -> None:
    """Nobody can count users there, so only what no user explains is an alarm."""
    other = window(name, 300, 0)
    assert judged(name, window(name, 300, 200), other).verdict is FAIL
    assert judged(name, window(name, 300, 100), other).verdict is PASS


@pytest.mark.parametrize("name", list(Guardrail))
def test_nothing_measured_is_inconclusive(name: Guardrail) -> None:
    """No data is no alarm, and never a pass."""
    assert judged(name, NOBODY, NOBODY).verdict is UNKNOWN


@given(st.lists(st.sampled_from([PASS, FAIL, UNKNOWN]), max_size=7))
def test_an_alarm_is_never_outweighed_and_missing_data_decides_nothing(
    verdicts: list[Verdict],
) -> None:
    """One alarm is the guardrails' verdict; without data for any, nothing is known."""
    one = judged(Guardrail.DOWN, NOBODY, NOBODY)
    verdict, _ = guardrails.overall([replace(one, verdict=each) for each in verdicts], {})
    expected = FAIL if FAIL in verdicts else PASS if PASS in verdicts else UNKNOWN
    assert verdict is expected


def test_a_guardrail_that_is_off_is_told_with_its_reason() -> None:
    """People who approve read what nobody looks at."""
    _, reason = guardrails.overall([], {Guardrail.REDIRECTS: "the shop moved"})
    assert reason.endswith("; redirects is off: the shop moved")


def sized(bytes_each: float, answers: int, of: int = 60) -> Window:
    """Return a window of answers that are all of one size."""
    return Window(seconds=60, requests=answers, answers=answers,
                  answer_logs=answers * math.log1p(bytes_each), users={Met.ANSWER: users(of)})


@pytest.mark.parametrize(("own", "verdict"), [
    (sized(2, 200), FAIL), (sized(600, 200), PASS), (sized(50_000, 200), PASS),
    (sized(2, 40), UNKNOWN), (sized(2, 200, of=20), UNKNOWN),
])
def test_much_shorter_answers_are_seen(own: Window, verdict: Verdict) -> None:
    """Less than a tenth of the baseline's usual 5,000 bytes is an alarm, compression is not."""
    assert judged(Guardrail.SHORT_ANSWERS, own, sized(5_000, 900)).verdict is verdict


@pytest.mark.parametrize(("own", "other", "verdict"), [
    ((0, 9), (9, 9), FAIL), ((9, 9), (9, 9), PASS), ((0, 9), (0, 9), PASS),
    ((0, 3), (9, 9), UNKNOWN),
])
def test_candidate_whose_health_is_silent_is_seen(
    own: tuple[int, int], other: tuple[int, int], verdict: Verdict
) -> None:
    """Only while the baseline's answers: where both are silent, the address may be wrong."""
    probed = [Window(seconds=9, probes_up=up, probes=probes) for up, probes in (own, other)]
    assert judged(Guardrail.DOWN, *probed).verdict is verdict


def test_firm_regression_asks_once() -> None:
    """A place that people promoted is known; a new one asks again."""
    found = [Regression(place, 0.3, 200, "differs") for place in ("$.a", "$.b")]
    known = frozenset({"$.a"})
    one = judged(Guardrail.REGRESSIONS, NOBODY, NOBODY, regressions=found[:1])
    assert (one.verdict, one.places) == (FAIL, ("$.a",))
    again = judged(Guardrail.REGRESSIONS, NOBODY, NOBODY, regressions=found[:1], accepted=known)
    assert again.verdict is PASS
    assert judged(Guardrail.REGRESSIONS, NOBODY, NOBODY, regressions=found, accepted=known
                  ).verdict is FAIL


@pytest.mark.parametrize("name", KINDS)
def test_rolls_back_only_when_nearly_all_is_wrong_and_the_baseline_is_well(
    name: Guardrail,
) -> None:
    """A part of the requests, one user, a baseline that answers alike: people decide that."""
    bad, well = window(name, 40, 40, of=9, met=9), window(name, 400, 4, of=90, met=4, offset=50)
    usual = usual_of(name, well)
    assert takes_all(name, bad, usual)
    assert takes_all(name, window(name, 40, 36, of=9, met=9), usual) is None
    assert takes_all(name, window(name, 40, 40, of=2, met=2), usual) is None
    assert takes_all(name, window(name, 19, 19, of=9, met=9), usual) is None
    often = usual_of(name, window(name, 400, 300, of=90, met=90))
    assert takes_all(name, bad, often) is None
    assert takes_all(name, bad, None) is None


def healthy(random: np.random.Generator, number: int, share: float) -> tuple[Window, Window]:
    """Return both systems' windows when nothing depends on who answers.

    Users differ widely in how often they ask and in how often they meet a 4xx, also each from time
    to time; a few are robots that ask for nothing but what is not there.
    """
    rates = random.lognormal(0, 1.5, number) * 8
    prone = random.beta(0.15, 2.0, number)
    robots = random.random(number) < 0.02
    asked = random.poisson(np.where(robots, rates * 20, rates))
    met = random.binomial(asked, np.where(robots, 0.95, prone))
    sizes = random.normal(7, 1.5, number)
    logs = asked * sizes + random.normal(0, 1.5, number) * np.sqrt(asked)
    numbers = random.integers(0, 1 << 31, number) * 2 + SPLIT
    moved = random.random(number) < share
    sides = []
    for side in (moved, ~moved):
        total = int(asked[side].sum())
        sides.append(Window(
            seconds=600, requests=total, answers=total, client_errors=int(met[side].sum()),
            answer_logs=float(logs[side].sum()), users={
                Met.ANSWER: fewest(numbers[side & (asked > 0)].tolist()),
                Met.CLIENT_ERROR: fewest(numbers[side & (met > 0)].tolist())}))
    return sides[0], sides[1]


@pytest.mark.parametrize(("number", "share"), list(product((40, 300, 3000), (0.05, 0.1, 0.5, 0.9))))
def test_two_healthy_systems_alarm_nobody(number: int, share: float) -> None:
    """Of 200 stages with users as unlike as they come, not one alarms (`benchmarks.guardrails` has
    the figures of many more)."""
    random = np.random.default_rng(number)
    for _ in range(200):
        own, other = healthy(random, number, share)
        for name in (Guardrail.CLIENT_ERRORS, Guardrail.SHORT_ANSWERS):
            found = judged(name, own, other, share=share)
            assert found.verdict is not FAIL, found.reason


@pytest.mark.parametrize(("groups", "verdict"), [
    ((960, 11_760), FAIL),
    ((1_000, 10_000), PASS),
    ((1, 1), PASS),
    ((0, 0), UNKNOWN),
    (None, UNKNOWN),
])
def test_users_who_do_not_arrive_as_planned_are_seen(
    groups: tuple[int, int] | None, verdict: Verdict
) -> None:
    """A fifth of the candidate's users missing is an alarm; a few users are none."""
    assert judged(Guardrail.SPLIT, NOBODY, NOBODY, groups=groups).verdict is verdict

"""Whether memory grows."""

from __future__ import annotations

import random

import pytest

from changeover.analysis.trend import leak_verdict, trend
from changeover.domain.verdict import Verdict


def series(growth: float, noise: float, count: int = 300) -> tuple[list[float], list[float]]:
    """Return a reading each second that grows by `growth` bytes a second."""
    chance = random.Random(4)
    seconds = [float(second) for second in range(count)]
    return seconds, [5e8 + growth * s + chance.gauss(0, noise) for s in seconds]


@pytest.mark.parametrize(("growth", "verdict"), [
    (20_000, Verdict.FAIL), (0, Verdict.PASS), (-20_000, Verdict.PASS),
])
def test_growth_is_judged_against_what_is_allowed(growth: float, verdict: Verdict) -> None:
    """A leak of 20 KB a second stands out of noise of 100 KB within five minutes."""
    assert leak_verdict(trend(*series(growth, 1e5)), allowed_per_second=10_000) is verdict


def test_bounds_on_both_sides_decide_nothing() -> None:
    """With more noise than growth nobody can say."""
    found = trend(*series(10_000, 5e7))
    assert leak_verdict(found, allowed_per_second=10_000) is Verdict.INCONCLUSIVE


def test_warm_up_and_peaks_are_no_leak() -> None:
    """Caches that fill in the first fifth, and single large requests, do not count."""
    seconds, values = series(0, 1e5)
    values[:50] = [4e8 + s * 2e6 for s in seconds[:50]]
    values[100] += 3e8
    found = trend(seconds, values)
    assert found is not None
    assert abs(found.slope) < 1_000


def test_few_readings_are_no_trend() -> None:
    """Nothing is said of a dozen seconds."""
    assert trend(*series(1e6, 0, count=12)) is None
    assert leak_verdict(None, allowed_per_second=1) is Verdict.INCONCLUSIVE

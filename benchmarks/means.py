"""How often verdicts on means are wrong, and how often they find harm, beside two plain means.

    python -m benchmarks.means                 # about ten minutes on two cores
    python -m benchmarks.means --stages 1000   # so many stages at the margin of each kind
    python -m benchmarks.means --stages 500 --at-margin    # false alarms alone

Users' order values are log-normal (sigma 1) around means of their own (sigma 0.7), their rates too
(sigma 1.5), so that a few users make most of the orders. The range of the check ends at the 99th
percentile. Each stage lasts an hour after an hour of the baseline and is looked at every two
minutes, with the evidence of the whole stage and that of later starts.
Nothing here knows the method that is measured.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np

from benchmarks.verdicts import upper
from benchmarks.workers import SEED, many
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.memo import Memo
from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.scales import UNITS, scale_of
from changeover.analysis.sequential.slices import REPORTED_TO, Counter, Slice, pack
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

BUCKETS = 10_000
MARGIN = 0.95
LOOKS = 30
OWN, CHANCE, BUSY = 0.7, 1.0, 1.5
"""Spreads of the logarithms: of users' means, of single values, of users' rates."""
HIGH = math.exp(2.326 * math.hypot(OWN, CHANCE))
CHECK = CheckSpec.model_validate({
    "metric": "outcome.order_value", "ratio_to_baseline": MARGIN, "direction": "decrease",
    "range": [0, HIGH]})
SCALE = scale_of(CHECK)
BEGIN = 1_790_000_000 // 3600 * 3600
"""Each stage begins with an hour of the clock."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is simulated.

    Args:
        users: Sticky users.
        weight: Buckets of the candidate.
        per_second: Outcomes a second, of both systems.
        drift: How far each user's mean moves between past and stage (spread of its logarithm).
        has_past: Whether an hour of the baseline is known.
    """

    users: int
    weight: int
    per_second: float
    drift: float = 0.0
    has_past: bool = True

    @property
    def name(self) -> str:
        """The kind in a table's cell."""
        extra = ", habits change" if self.drift else "" if self.has_past else ", no past"
        return f"{self.users:,} users, {self.weight / BUCKETS:.0%} of {self.per_second:g}/s{extra}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a stage: by evidence, and by the two means alone (ever, at its end)."""

    failed: bool
    passed: bool
    by_means_ever: bool
    by_means_at_end: bool


class _Users:
    """Users of one stage, with the sums of what they have ordered."""

    def __init__(self, kind: Kind, random: np.random.Generator) -> None:
        self._kind, self._random = kind, random
        rates = np.exp(random.normal(0, BUSY, kind.users))
        self._rates = rates / rates.sum()
        self._buckets = random.integers(0, BUCKETS, kind.users)
        self.means = random.normal(0, OWN, kind.users)

    def span(self, start: int, seconds: int, times: float | None) -> tuple[Slice, np.ndarray]:
        """Return a time's values by bucket; and of each system their number and sum.

        Args:
            start: When it begins, Unix seconds.
            seconds: How long it is.
            times: The candidate's values as multiples of what the baseline's would be; None while
                everyone is on the baseline, whose values have no margin to lose.
        """
        random = self._random
        number = random.poisson(self._kind.per_second * seconds)
        user = random.choice(len(self._rates), number, p=self._rates)
        owner = self._buckets[user]
        is_mine = owner < (0 if times is None else self._kind.weight)
        value = np.exp(self.means[user] + random.normal(0, CHANCE, number))
        value = np.where(is_mine, value * (times or 1.0), value)
        part = np.clip(np.where(is_mine, value / MARGIN, value) / HIGH, 0, 1)
        units = np.minimum(UNITS, np.floor(part * UNITS + random.uniform(size=number)))
        squares = np.zeros(BUCKETS, np.int64)
        squares[0] = int((units * units).sum())
        counts = np.bincount(owner, minlength=BUCKETS).astype(np.int64)
        plain = np.array([[each.sum(), value[each].sum()] for each in (is_mine, ~is_mine)])
        weight = 0 if times is None else self._kind.weight
        return Slice(weight, start, start + seconds, {
            Counter.REQUESTS: counts, SCALE.of: counts, SCALE.squares: squares,
            SCALE.events: np.bincount(owner, units, BUCKETS).astype(np.int64),
        }, gateway=REPORTED_TO), plain


def seen(kind: Kind, times: float, run: int) -> Seen:
    """Return what becomes of a stage whose candidate has `times` the baseline's values."""
    random = np.random.default_rng((SEED, run, kind.users, kind.weight, int(times * 1000)))
    people = _Users(kind, random)
    past = Slice(0, BEGIN - 3600, BEGIN, {})
    if kind.has_past:
        past, _ = people.span(BEGIN - 3600, 3600, None)
    people.means = people.means + random.normal(0, kind.drift, kind.users)
    plain, memo, slices = np.zeros((2, 2)), Memo(), []
    failed, passed, ever = False, False, False
    length = 3600 // LOOKS
    for number in range(LOOKS):
        start = BEGIN + number * length
        newest, each = people.span(start, length, times)
        plain = plain + each
        slices.append(newest)
        first, end = (datetime.fromtimestamp(at, UTC) for at in (BEGIN, start + length))
        parts = into_parts(slices, start + length)
        sums = StageSums(kind.weight, parts, past, first, end, 1, memo=memo)
        verdict = judge_by_buckets(CHECK, sums).verdict
        failed = failed or verdict is Verdict.FAIL
        passed = verdict is Verdict.PASS
        is_lower = _is_lower(plain)
        ever = ever or is_lower
    return Seen(failed, passed and not failed, ever, is_lower)


def _is_lower(plain: np.ndarray) -> bool:
    """Whether the candidate's mean is below the margin, with at least 100 values of each."""
    if plain[:, 0].min() < 100:
        return False
    means = plain[:, 1] / plain[:, 0]
    return bool(means[0] < MARGIN * means[1])


KINDS = (
    Kind(500, 1_000, 50), Kind(500, 5_000, 50), Kind(2_000, 1_000, 20),
    Kind(20_000, 5_000, 20), Kind(2_000, 1_000, 20, drift=0.3),
    Kind(500, 1_000, 50, has_past=False),
)


def show_kinds(stages: int) -> None:
    """Print how often each kind of stage fails and passes."""
    print(f"means at a margin of 5 % lower; {stages} stages at the margin, half as many healthy, a "
          "fifth with harm")
    print(f"{'':42}{'failed at the margin':>21}{'healthy':>9}{'-10 %':>7}{'-15 %':>7}"
          f"{'passed: healthy':>17}{'at margin':>10}{'two means, healthy':>20}{'ever':>6}")
    totals = [0, 0]
    for kind in KINDS:
        few = max(1, stages // 5)
        at_margin, healthy, harmed, more = (
            many(partial(seen, kind, times), number)
            for times, number in ((MARGIN, stages), (1.0, stages // 2), (0.9, few), (0.85, few)))
        bad = sum(each.failed for each in at_margin)
        totals = [totals[0] + bad, totals[1] + stages]
        print(f"{kind.name:42}{bad / stages:11.2%} ({upper(bad, stages):6.2%})"
              f"{_share(healthy, 'failed'):9.1%}{_share(harmed, 'failed'):7.0%}"
              f"{_share(more, 'failed'):7.0%}{_share(healthy, 'passed'):17.0%}"
              f"{_share(at_margin, 'passed'):10.1%}{_share(healthy, 'by_means_at_end'):20.0%}"
              f"{_share(healthy, 'by_means_ever'):6.0%}", flush=True)
    print(f"failed at the margin, all kinds: {totals[0]} of {totals[1]} "
          f"(at most {upper(*totals):.2%})")


def show_margin(stages: int) -> None:
    """Print how often a stage whose candidate is exactly at its margin fails."""
    totals = [0, 0]
    for kind in KINDS:
        bad = sum(each.failed for each in many(partial(seen, kind, MARGIN), stages))
        totals = [totals[0] + bad, totals[1] + stages]
        print(f"{kind.name:42}{bad:4} of {stages} failed at the margin "
              f"(at most {upper(bad, stages):.2%})", flush=True)
    print(f"all kinds: {totals[0]} of {totals[1]} (at most {upper(*totals):.2%})")


def _share(found: Sequence[Seen], name: str) -> float:
    return float(np.mean([getattr(each, name) for each in found]))


def show_size() -> None:
    """Print what a minute of outcomes takes in the store, at a million users."""
    random = np.random.default_rng(SEED)
    for per_second in (50, 1_000):
        number = per_second * 60
        owner = random.integers(0, BUCKETS, number)
        value = np.minimum(random.lognormal(0, 1.2, number) / HIGH, 1.0)
        units = np.floor(value * UNITS + random.uniform(size=number))
        counts = np.bincount(owner, minlength=BUCKETS).astype(np.int64)
        squares = np.zeros(BUCKETS, np.int64)
        squares[0] = int((units * units).sum())
        size = len(pack({
            SCALE.of: counts, "outcomes": counts, SCALE.squares: squares,
            SCALE.events: np.bincount(owner, units, BUCKETS).astype(np.int64),
            "failed outcomes": np.bincount(owner[: number // 100], minlength=BUCKETS)}))
        print(f"a minute of {per_second:,} outcomes/s of a million users in the store: "
              f"{size:,} bytes")


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    stages = 200
    if "--stages" in arguments:
        stages = int(arguments[arguments.index("--stages") + 1])
    if "--at-margin" in arguments:
        show_margin(stages)
        return
    show_size()
    show_kinds(stages)


if __name__ == "__main__":
    main(sys.argv[1:])

"""How soon harm is shown, against the best test that knew when to look and what to look for.

Such a test cannot be made in a migration: it looks once, at the right time, for the harm that
there is. It has the same past of each bucket. Three statistics stand for it, each with the bar that
healthy stages of the same kind exceed once in a hundred at that time; the strongest of them counts.
For independent requests the best such test is known, and its power is calculated.

    python -m benchmarks.detection --stages 400 --independent
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
from scipy import stats

from benchmarks.stages import HEALTHY, Harm, Kind, Reals, Users, requests_of, span, users_of
from benchmarks.workers import many, random_of
from changeover.analysis.sequential.buckets import Counts, Split
from changeover.analysis.sequential.e_values import tilted
from changeover.analysis.sequential.evidence import Question, log_worse
from changeover.analysis.sequential.expected import Expected, expect
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.memo import Memo
from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.stage_sums import ALPHA, StageSums
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

FAILED = -math.log(ALPHA)
PAST_SECONDS = 3600
BEGIN = 1_790_000_000 // 3600 * 3600
WATCHED = 900
STEP = 5
POWERS = (0.5, 0.8, 0.95)
LATE = Kind(2_000, 0.001, per_second=200)


@dataclass(frozen=True, slots=True)
class Case:
    """A harm, and the ratio that it makes of a typical bucket's rate."""

    name: str
    share: float
    is_slow: bool
    harm: Harm
    ratio: float


CASES = (
    Case("errors x 5", 0.001, False, Harm(times=5.0), 5.0),
    Case("errors + 0.4 points", 0.001, False, Harm(added=0.004), 5.0),
    Case("slow x 1.35 (p95 + 20 % at 1.10)", 0.05, True, Harm(times=1.35), 1.35),
)


def looks(kind: Kind, case: Case, harm: Harm, run: int) -> dict[str, Reals]:
    """Return what each method has at each look of a stage, shape (looks,)."""
    random = random_of(kind, run, "harmed" if harm != HEALTHY else "healthy")
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    expected = expect(past, past)
    split = Split(kind.weight)
    question = Question(Counts.none(), past, split, is_slow=kind.is_slow)
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    requests = requests_of(kind, people, WATCHED, random, harm)
    for _, counts in requests.sums(np.arange(STEP, WATCHED + 1, STEP, dtype=np.float64)):
        found["evidence"].append(log_worse(replace(question, counts=counts)))
        found["likelihood"].append(float(tilted(
            counts, expected, split, (case.ratio,))[0]))
        found["score"].append(score(counts, expected, split))
        found["first"].append(first_score(counts, split))
    return {name: np.array(values) for name, values in found.items()}


def score(counts: Counts, expected: Expected, split: Split) -> float:
    """Return how many standard deviations more bad requests the candidate's buckets have."""
    foreseen = expected.shares * counts.requests
    excess = counts.events - foreseen * (counts.events.sum() / max(1e-9, foreseen.sum()))
    spread = math.sqrt(split.share * (1 - split.share) * float((excess**2).sum()))
    mine = np.where(split.is_candidate, 1 - split.share, -split.share)
    return float((mine * excess).sum()) / spread if spread else 0.0


def first_score(counts: Counts, split: Split) -> float:
    """Return the same of buckets with any bad request."""
    hit = counts.events > 0
    expected = split.share * hit.sum()
    spread = math.sqrt(expected * (1 - split.share))
    return (float(hit[:split.weight].sum()) - expected) / spread if spread else 0.0


FIXED = ("likelihood", "score", "first")
METHODS = ("evidence", *FIXED)


def shown_after(stages: Sequence[Mapping[str, Reals]], power: float) -> float:
    """Return the seconds after which the evidence shows harm in such a share of stages."""
    firsts = []
    for stage in stages:
        reached = np.flatnonzero(stage["evidence"] >= FAILED)
        firsts.append((reached[0] + 1) * STEP if len(reached) else math.inf)
    return float(np.quantile(firsts, power, method="inverted_cdf"))


def fixed_horizon(
    harmed: Sequence[Mapping[str, Reals]], healthy: Sequence[Mapping[str, Reals]], power: float,
) -> float:
    """Return the first time at which the strongest fixed test has such a power at 1 %."""
    found = math.inf
    for name in FIXED:
        bars = np.quantile([stage[name] for stage in healthy], 1 - ALPHA, axis=0,
                           method="inverted_cdf")
        shares = np.mean(np.array([stage[name] for stage in harmed]) > bars, axis=0)
        enough = np.flatnonzero(shares >= power)
        if len(enough):
            found = min(found, float(enough[0] + 1) * STEP)
    return found


def exact_power(kind: Kind, ratio: float, seconds: int) -> float:
    """Return the power at 1 % of the best test of independent requests that looks once.

    How many of all bad requests are the candidate's is binomial, whatever the rate is; the test is
    exact by deciding at its limit by lot (uniformly most powerful; Lehmann, Romano 2005, 4.4).

    Args:
        kind: Of independent requests.
        ratio: How many times the baseline's rate the candidate's is.
        seconds: When it looks.
    """
    own = kind.weight / 10_000
    expected = kind.per_second * seconds * kind.share * (own * ratio + 1 - own)
    around = 8 * math.sqrt(expected)
    bad = np.arange(max(0, int(expected - around)), int(expected + around) + 20)
    limit = stats.binom.isf(ALPHA, bad, own)
    at_limit = stats.binom.pmf(limit, bad, own)
    by_lot = np.clip((ALPHA - stats.binom.sf(limit, bad, own)) / at_limit, 0, 1)
    harmed = own * ratio / (own * ratio + 1 - own)
    found = stats.binom.sf(limit, bad, harmed) + by_lot * stats.binom.pmf(limit, bad, harmed)
    return float((stats.poisson.pmf(bad, expected) * found).sum())


def exact_horizon(kind: Kind, ratio: float, power: float) -> float:
    """Return the first second at which that test has such a power."""
    for seconds in range(STEP, WATCHED + 1, STEP):
        if exact_power(kind, ratio, seconds) >= power:
            return float(seconds)
    return math.inf


def show_detection(stages: int, groups: Sequence[int] = (0, 2_000, 20_000)) -> None:
    """Print after how long harm is shown in 50, 80 and 95 % of stages, beside the fixed test.

    Args:
        stages: Harmed stages of each kind; as many healthy ones, at least 300, set the bars.
        groups: Numbers of users; 0 for independent requests.
    """
    print(f"\nharm shown after seconds, 10 % of 200/s, {stages} stages of each kind; in brackets "
          "a test\nthat knew the harm and when to look, and at 80 and 95 % how many times as long")
    print(f"{'':48}{'50 %':>14}{'80 %':>21}{'95 %':>21}")
    for users in groups:
        for case in CASES:
            # independent requests know no difference between the two kinds of harm
            if not users and case.harm.added:
                continue
            kind = Kind(users, case.share, per_second=200, is_slow=case.is_slow)
            harmed = many(partial(looks, kind, case, case.harm), stages)
            fixed = _fixed(kind, case, harmed, stages)
            row = "".join(
                cell(shown_after(harmed, power), at, power)
                for power, at in zip(POWERS, fixed, strict=True))
            label = f"{case.name}, {f'{users:,} users' if users else 'independent'}"
            print(f"{label:48}{row}", flush=True)


def _fixed(
    kind: Kind, case: Case, harmed: Sequence[Mapping[str, Reals]], stages: int
) -> list[float]:
    """Return the seconds after which a test that knew the harm has each power."""
    if not kind.users:
        return [exact_horizon(kind, case.ratio, power) for power in POWERS]
    healthy = many(partial(looks, kind, case, HEALTHY), max(300, stages))
    return [fixed_horizon(harmed, healthy, power) for power in POWERS]


def cell(ours: float, fixed: float, power: float) -> str:
    """Return one cell of the table."""
    if math.isinf(ours):
        return f"{'never':>8}{f'({fixed:.0f})':>7}" + " " * 6
    ratio = "" if power == POWERS[0] else f"{ours / fixed:5.2f}x"
    return f"{ours:8.0f}{f'({fixed:.0f})':>7}{ratio}"


def late(hours: float, run: int) -> float:
    """Return the seconds from the beginning of harm to its being shown; infinite after an hour.

    The stage begins with an hour of the clock; harm after whole hours begins with one, too, other
    harm twenty seconds after a minute.

    Args:
        hours: Healthy hours before it.
        run: Number of the stage.
    """
    random = random_of(LATE, run, "late")
    people = users_of(LATE, random)
    past = _slice(span(LATE, people, PAST_SECONDS, random), BEGIN - PAST_SECONDS, PAST_SECONDS)
    began = BEGIN + int(hours * 3600) + (0 if hours.is_integer() else 20)
    done = _healthy(people, began, random)
    requests = requests_of(LATE, people, 3600, random, CASES[0].harm)
    memo, before = Memo(), Counts.none()
    for at, counts in requests.sums(np.arange(STEP, 3601, STEP, dtype=np.float64)):
        end = began + int(at)
        minute = (end - 1) // 60 * 60
        newest = _slice(counts - before, max(began, minute), end - max(began, minute))
        parts = into_parts([*done, newest], end)
        memo.forget(parts)
        if is_shown(parts, past, end, memo):
            return at
        if end % 60 == 0:
            done, before = [*done, newest], counts
    return math.inf


def _healthy(people: Users, until: int, random: np.random.Generator) -> list[Slice]:
    """Return the slices of a healthy time: whole hours, and its last one by the minute."""
    found = []
    start = BEGIN
    while start < until:
        length = 3600 if until - start > 2 * 3600 else min(60, until - start)
        found.append(_slice(span(LATE, people, length, random), start, length))
        start += length
    return found


def _slice(counts: Counts, start: int, length: int) -> Slice:
    sums = {"requests": counts.requests, "errors": counts.events}
    return Slice(LATE.weight, start, start + length, sums)


def is_shown(parts: Sequence[Slice], past: Slice, end: int, memo: Memo) -> bool:
    """Return whether the stage's evidence, or that of a later start, reaches its bar."""
    start, last = (datetime.fromtimestamp(each, UTC) for each in (BEGIN, end))
    sums = StageSums(LATE.weight, parts, past, start, last, 1, memo=memo)
    check = CheckSpec(metric="error_rate", ratio_to_baseline=1.1)
    return judge_by_buckets(check, sums).verdict is Verdict.FAIL


def show_late_harm(stages: int) -> None:
    """Print the median time until harm is shown that begins at once, or after healthy hours."""
    print(f"\nerrors x 5 that begin later, 2,000 users, 10 % of 200/s, {stages} stages each")
    first = math.nan
    for hours in (0.0, 0.5, 6.0, 6.5, 24.0, 24.5):
        median = float(np.median(many(partial(late, hours), stages)))
        first = first if hours else median
        print(f"after {hours:4.1f} healthy hours: shown after {median:5.0f} s "
              f"({median / first:.2f} of that at once)", flush=True)


if __name__ == "__main__":
    asked = int(sys.argv[sys.argv.index("--stages") + 1]) if "--stages" in sys.argv else 150
    if "--independent" in sys.argv:
        show_detection(asked, (0,))
    else:
        show_detection(asked)

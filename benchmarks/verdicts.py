"""How often verdicts are wrong, and how soon they are right, beside what others do.

    python -m benchmarks.verdicts               # about ten minutes on two cores
    python -m benchmarks.verdicts --long        # as many stages as the claims need; hours
    python -m benchmarks.verdicts --false-alarms 1000    # only these, with so many stages

Each stage is looked at again and again, as gates, triggers and pages do. Beside the evidence by
buckets stand, on the same stages: a plain threshold (the ratio of the two rates above 1.1 in at
least 100 requests), Fisher's exact test of requests at 1 %, and Mann-Whitney of the rates of single
minutes at 98 % as Kayenta makes it, these once a minute.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
from scipy import stats

from benchmarks.detection import show_detection, show_late_harm
from benchmarks.forecasts import show_forecasts
from benchmarks.stages import Harm, Kind, Users, requests_of, span, users_of
from benchmarks.workers import many, random_of
from changeover.analysis.sequential.buckets import Counts, Split, arms
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.judging import (
    COUNTED,
    LOG_PASS,
    judge_by_buckets,
)
from changeover.analysis.sequential.slices import Slice, pack
from changeover.analysis.sequential.stage_sums import ALPHA, StageSums
from changeover.plan.conditions import CheckSpec

FAILED = -math.log(ALPHA)
PAST_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated: stages of each kind, healthy kinds, stages of each harm."""

    stages: int
    healthy: Sequence[Kind]
    harmed: int


INCIDENT = Kind(500, 0.01, incident=True)
ALL_HEALTHY = [
    *(Kind(users, share, weight, is_slow=is_slow)
      for users in (0, 500, 2_000, 20_000) for weight in (1_000, 5_000)
      for share, is_slow in ((0.001, False), (0.01, False), (0.05, True))),
    INCIDENT,
]
SOME_HEALTHY = [
    Kind(500, 0.01), Kind(2_000, 0.001), Kind(2_000, 0.01, 5_000), Kind(20_000, 0.01),
    Kind(0, 0.01), Kind(500, 0.05, is_slow=True), Kind(2_000, 0.05, 5_000, is_slow=True), INCIDENT,
]
SHORT, LONG = Size(200, SOME_HEALTHY, 150), Size(5_000, ALL_HEALTHY, 1_000)


def false_alarms(kind: Kind, run: int) -> dict[str, bool]:
    """Return which methods call a healthy stage bad within an hour."""
    random = random_of(kind, run)
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    split, found, rates = Split(kind.weight), Counter[str](), []
    before = Counts.none()
    requests = requests_of(kind, people, 3600, random)
    for at, counts in requests.sums(requests.moments(kind, 3600)):
        evidence = weigh(Question(counts, past, split, is_slow=kind.is_slow))
        found["evidence"] += evidence.log_worse >= FAILED
        found["first errors"] += evidence.parts.get("first", 0.0) >= FAILED
        if at % 60 == 0:
            mine, theirs = arms(counts, split.is_candidate)
            found["threshold"] += mine.requests >= 100 and theirs.requests >= 100 and (
                mine.share or 0) > 1.1 * (theirs.share or 1)
            found["fisher"] += fisher(counts, split) <= 0.01
            rates.append([each.share or 0.0 for each in arms(counts - before, split.is_candidate)])
            found["mann-whitney"] += mann_whitney(rates)
            before = counts
    return {name: found[name] > 0 for name in METHODS}


METHODS = ("evidence", "first errors", "threshold", "fisher", "mann-whitney")


def fisher(counts: Counts, split: Split) -> float:
    """Return the one-sided p-value of requests that are taken as independent."""
    mine, theirs = arms(counts, split.is_candidate)
    everyone, bad = mine.requests + theirs.requests, mine.events + theirs.events
    return float(stats.hypergeom.sf(mine.events - 1, everyone, bad, mine.requests))


def mann_whitney(rates: Sequence[Sequence[float]]) -> bool:
    """Whether the candidate's minutes are worse than the baseline's at 98 %, from five minutes."""
    mine, theirs = zip(*rates, strict=True)
    if len(rates) < 5 or len({*mine, *theirs}) == 1:
        return False
    found = stats.mannwhitneyu(mine, theirs, alternative="greater", method="asymptotic")
    return bool(found.pvalue <= 0.01)


def passed(kind: Kind, margin: float, times: float, run: int) -> bool:
    """Whether a candidate passes its margin at the end of an hour."""
    random = random_of(kind, run)
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    counts = span(kind, people, 3600, random, Harm(times))
    better = weigh(Question(counts, past, Split(kind.weight), margin=margin)).log_better
    return better is not None and better >= LOG_PASS


def upper(found: int, of: int) -> float:
    """Return the upper bound (95 %, one-sided) of a share. Source: Clopper, Pearson 1934."""
    return 1.0 if found == of else float(stats.beta.ppf(0.95, found + 1, of - found))


def show_false_alarms(kinds: Sequence[Kind], stages: int) -> None:
    """Print the share of healthy stages that each method calls bad."""
    print(f"healthy stages called bad within an hour, 50 requests/s, {stages} of each kind")
    print(f"{'':44}{'evidence (at most)':>20}{'first':>8}{'threshold':>11}{'Fisher':>9}{'M-W':>8}")
    everyone = Counter[str]()
    for kind in kinds:
        found = many(partial(false_alarms, kind), stages)
        sums = {name: sum(each[name] for each in found) for name in METHODS}
        everyone.update(sums)
        print_row(kind.name, sums, stages)
    print_row("all kinds", everyone, stages * len(kinds))


def print_row(label: str, sums: Counter[str] | dict[str, int], stages: int) -> None:
    """Print one row of it."""
    shares = {name: number / stages for name, number in sums.items()}
    most = upper(sums["evidence"], stages)
    print(f"{label:44}{shares['evidence']:10.2%} ({most:6.2%}){shares['first errors']:9.2%}"
          f"{shares['threshold']:11.1%}{shares['fisher']:9.1%}{shares['mann-whitney']:8.1%}",
          flush=True)


def show_passes(stages: int) -> None:
    """Print how often a candidate passes a margin within an hour."""
    print(f"\npassed within an hour, errors 0.1 %, 10 % of 200/s, {stages} stages of each")
    print(f"{'':44}{'healthy':>9}{'at margin':>11}{'1.5 x margin':>14}")
    for users in (500, 2_000, 20_000):
        for margin in (1.5, 2.0):
            kind = Kind(users, 0.001, per_second=200)
            shares = [np.mean(many(partial(passed, kind, margin, times), stages))
                      for times in (1.0, margin, 1.5 * margin)]
            label = f"margin {margin:g}, {users:,} users"
            print(f"{label:44}{shares[0]:9.1%}{shares[1]:11.1%}{shares[2]:14.1%}", flush=True)


def show_costs() -> None:
    """Print how long a stage of 50 checks takes, and what a minute of slices takes in the store."""
    kind = Kind(1_000_000, 0.01, per_second=600)
    random = random_of(kind, 0)
    people = users_of(kind, random)
    sums = _two_days(kind, people, random)
    metrics = [*COUNTED]
    checks = [CheckSpec(metric=metrics[number % len(metrics)],
                        ratio_to_baseline=1.1 + number // len(metrics) / 10)
              for number in range(50)]
    took = []
    for _ in range(5):
        fresh = StageSums(sums.weight, sums.parts, sums.past, sums.start, sums.end, 50)
        began = time.perf_counter()
        for check in checks:
            judge_by_buckets(check, fresh)
        took.append((time.perf_counter() - began) * 1000)
    requests = sum(int(each.sums["requests"].sum()) for each in sums.parts)
    print(f"a stage with 50 checks over 48 h and {requests:,} requests: {min(took):.0f} ms "
          f"(least of 5, most {max(took):.0f})")
    minute = _slice(Kind(1_000_000, 0.01, per_second=1_000), people, random, (0, 60))
    size = len(pack({name: minute.sums[name] for name in ("requests", "answers", "errors")}))
    print(f"a minute of 1,000 requests/s of a million users in the store: {size:,} bytes\n")


def _two_days(kind: Kind, people: Users, random: np.random.Generator) -> StageSums:
    start = 1_790_000_000
    hours = [_slice(kind, people, random, (start + number * 3600, 3600)) for number in range(48)]
    past = _slice(kind, people, random, (start - 86_400, 86_400))
    first, last = (datetime.fromtimestamp(start + added, UTC) for added in (0, 48 * 3600))
    return StageSums(kind.weight, hours, past, first, last, 50)


def _slice(
    kind: Kind, people: Users, random: np.random.Generator, when: tuple[int, int],
) -> Slice:
    """Return the slice of (start, seconds) with all counters."""
    start, seconds = when
    counts = span(kind, people, seconds, random)
    sums = {str(name): random.binomial(counts.requests, kind.share).astype(np.int64)
            for pair in COUNTED.values() for name in pair}
    sums |= {"requests": counts.requests, "answers": counts.requests, "errors": counts.events}
    return Slice(kind.weight, start, start + seconds, sums)


def main(arguments: Sequence[str]) -> None:
    """Print the tables that are asked for."""
    size = LONG if "--long" in arguments else SHORT
    if "--false-alarms" in arguments:
        stages = int(arguments[arguments.index("--false-alarms") + 1])
        show_false_alarms(size.healthy, stages)
        return
    show_costs()
    show_false_alarms(size.healthy, size.stages)
    show_passes(size.stages)
    show_detection(size.harmed)
    show_late_harm(size.harmed)
    show_forecasts(20 if size is SHORT else 400)


if __name__ == "__main__":
    main(sys.argv[1:])

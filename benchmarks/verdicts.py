"""How often verdicts are wrong, and how soon they are right, beside what others do.

    python -m benchmarks.verdicts           # about ten minutes on two cores
    python -m benchmarks.verdicts --long    # as many stages as the claims need; hours

Each stage is looked at again and again, as gates, triggers and pages do. Beside the evidence by
buckets stand, on the same stages: a plain threshold (the ratio of the two rates above 1.1 in at
least 100 requests), Fisher's exact test of requests at 1 %, and Mann-Whitney of the rates of single
minutes at 98 % as Kayenta makes it, the last two once a minute.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from benchmarks.stages import Kind, hour, span, users_of
from changeover.analysis.sequential.buckets import Counts, Split, arms
from changeover.analysis.sequential.evidence import Question, weigh
from changeover.analysis.sequential.judging import ALPHA, LOG_PASS
from changeover.analysis.sequential.slices import pack

FAILED = -math.log(ALPHA)
PAST_SECONDS = 3600
SEED = 20_261_129


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated: stages of each kind, seconds between two looks, healthy kinds."""

    stages: int
    step: int
    healthy: Sequence[Kind]


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
SHORT, LONG = Size(200, 30, SOME_HEALTHY), Size(5_000, 1, ALL_HEALTHY)


def random_of(kind: Kind, run: int) -> np.random.Generator:
    """Return the chance of one stage: always the same, and another for each."""
    what = (SEED, run, kind.users, int(kind.share * 1e6), kind.weight, kind.is_slow)
    return np.random.default_rng(what)


def worst_of(kind: Kind, past: Counts, counts: Counts) -> float:
    """Return the evidence against the candidate."""
    question = Question(counts, past, Split(kind.weight), is_slow=kind.is_slow)
    return weigh(question).log_worse


def false_alarms(size: Size, job: tuple[Kind, int]) -> dict[str, bool]:
    """Return which methods call a healthy stage bad within an hour."""
    kind, run = job
    random = random_of(kind, run)
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    split, found, rates = Split(kind.weight), Counter[str](), []
    before = Counts.none()
    for at, counts in hour(kind, people, size.step, random):
        found["evidence"] += worst_of(kind, past, counts) >= FAILED
        if at % 60 == 0:
            mine, theirs = arms(counts, split.is_candidate)
            found["threshold"] += mine.requests >= 100 and theirs.requests >= 100 and (
                mine.share or 0) > 1.1 * (theirs.share or 1)
            found["fisher"] += fisher(counts, split) <= 0.01
            rates.append([each.share or 0.0 for each in arms(counts - before, split.is_candidate)])
            found["mann-whitney"] += mann_whitney(rates)
            before = counts
    return {name: found[name] > 0 for name in METHODS}


METHODS = ("evidence", "threshold", "fisher", "mann-whitney")


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


def detection(size: Size, job: tuple[Kind, int], *, times: float, added: float) -> float:
    """Return the seconds after which harm is shown; infinite when not within 15 minutes."""
    kind, run = job
    random = random_of(kind, run)
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    for at, counts in hour(kind, people, max(5, size.step // 4), random, times=times, added=added,
                           seconds=900):
        if worst_of(kind, past, counts) >= FAILED:
            return float(at)
    return math.inf


def passed(_size: Size, job: tuple[Kind, int], *, margin: float, times: float) -> bool:
    """Whether a candidate passes its margin at the end of an hour."""
    kind, run = job
    random = random_of(kind, run)
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    counts = span(kind, people, 3600, random, times=times)
    better = weigh(Question(counts, past, Split(kind.weight), margin=margin)).log_better
    return better is not None and better >= LOG_PASS


def many(
    work: Callable[[tuple[Kind, int]], object], kind: Kind, stages: int
) -> list[object]:
    """Return the work's results for so many stages, on all cores."""
    jobs = [(kind, run) for run in range(stages)]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        return pool.map(work, jobs, chunksize=max(1, stages // 40))


def upper(found: int, of: int) -> float:
    """Return the upper bound (95 %, one-sided) of a share. Source: Clopper, Pearson 1934."""
    return 1.0 if found == of else float(stats.beta.ppf(0.95, found + 1, of - found))


def show_false_alarms(size: Size) -> None:
    """Print the share of healthy stages that each method calls bad."""
    print(f"healthy stages called bad within an hour, 50 requests/s, {size.stages} of each kind, "
          f"looked at every {size.step} s")
    print(f"{'':44}{'evidence (at most)':>20}{'threshold':>11}{'Fisher':>9}{'M-W':>8}")
    for kind in size.healthy:
        found = many(partial(false_alarms, size), kind, size.stages)
        sums = {name: sum(each[name] for each in found) for name in METHODS}  # type: ignore[index]
        shares = {name: number / size.stages for name, number in sums.items()}
        most = upper(sums["evidence"], size.stages)
        print(f"{kind.name:44}{shares['evidence']:10.2%} ({most:6.2%})"
              f"{shares['threshold']:11.1%}{shares['fisher']:9.1%}{shares['mann-whitney']:8.1%}",
              flush=True)


def show_detection(size: Size) -> None:
    """Print after how many seconds harm is shown in 50, 80 and 95 % of stages."""
    print(f"\nharm shown after seconds, 10 % of 200/s, {size.stages} stages of each kind")
    print(f"{'':44}{'50 %':>7}{'80 %':>7}{'95 %':>7}")
    for users in (0, 2_000, 20_000):
        for name, share, is_slow, harm in (
            ("errors x 5", 0.001, False, {"times": 5.0, "added": 0.0}),
            ("errors + 0.4 points", 0.001, False, {"times": 1.0, "added": 0.004}),
            ("slow x 1.35 (p95 + 20 % at 1.10)", 0.05, True, {"times": 1.35, "added": 0.0}),
        ):
            kind = Kind(users, share, per_second=200, is_slow=is_slow)
            work = partial(detection, size, **harm)
            found = [float(each) for each in many(work, kind, size.stages)]  # type: ignore[arg-type]
            marks = [float(np.quantile(found, q, method="inverted_cdf")) for q in (0.5, 0.8, 0.95)]
            row = "".join(f"{'never' if math.isinf(each) else f'{each:.0f}':>7}" for each in marks)
            label = f"{name}, {f'{users:,} users' if users else 'independent'}"
            print(f"{label:44}{row}", flush=True)


def show_passes(size: Size) -> None:
    """Print how often a candidate passes a margin within an hour."""
    print(f"\npassed within an hour, errors 0.1 %, 10 % of 200/s, {size.stages} stages of each")
    print(f"{'':44}{'healthy':>9}{'at margin':>11}{'1.5 x margin':>14}")
    for users in (500, 2_000, 20_000):
        for margin in (1.5, 2.0):
            kind = Kind(users, 0.001, per_second=200)
            shares = [
                np.mean([bool(each) for each in many(
                    partial(passed, size, margin=margin, times=times), kind, size.stages)])
                for times in (1.0, margin, 1.5 * margin)
            ]
            label = f"margin {margin:g}, {users:,} users"
            print(f"{label:44}{shares[0]:9.1%}{shares[1]:11.1%}{shares[2]:14.1%}", flush=True)


def show_costs() -> None:
    """Print how long one evaluation takes, and what a minute of slices takes in the store."""
    kind = Kind(200_000, 0.01, per_second=1_000)
    random = random_of(kind, 0)
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    counts = span(kind, people, 48 * 3600, random)
    began = time.perf_counter()
    for _ in range(50):
        weigh(Question(counts, past, Split(kind.weight), margin=1.1))
    took = (time.perf_counter() - began) / 50 * 1000
    minute = span(kind, people, 60, random)
    size = len(pack({"requests": minute.requests, "answers": minute.requests,
                     "errors": minute.events}))
    print(f"\none check over 48 h and {int(counts.requests.sum()):,} requests: {took:.1f} ms; "
          f"a minute of 1,000 requests/s in the store: {size:,} bytes")


def main() -> None:
    """Print all tables."""
    size = LONG if "--long" in sys.argv else SHORT
    show_costs()
    show_false_alarms(size)
    show_passes(size)
    show_detection(size)


if __name__ == "__main__":
    main()

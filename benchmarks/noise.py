"""Regressions under noise: how often ours and the difference of two percentages are wrong.

    python -m benchmarks.noise
    python -m benchmarks.noise --simulations 5000 --seed 3

Every request gives a pair: does the candidate differ, does the baseline's second answer. The peer
is the rule that diffy documents: a field is shown when it differs more often than the noise, by
more than 20 % relatively and 0.03 % absolutely. `missed` is the share of simulations with a
regression that were not called one, `false alarms` that of simulations without. Ours is used as
the product uses it: the baseline is asked twice for `--noise-share` of the requests; the peer gets
a second answer for all of them.

Then the same field is watched while it is compared: judged after every hundredth part of the
requests. `ever` is the share of simulations in which an evaluation found a regression, `firm` that
in which one was firm (it holds however often one looks); `at half` is the share of the requests
after which half of the simulations are firm.
"""

from __future__ import annotations

import argparse
import math
import statistics

import numpy as np
from rich.progress import track

from changeover.comparison.noise import (
    FALSE_DISCOVERIES,
    Judgement,
    PlaceCounts,
    anytime,
    judge_places,
    mcnemar,
)

Generator = np.random.Generator
EVALUATIONS = 100


def is_shown_by_diffy(raw: int, noise: int, total: int) -> bool:
    """Return whether diffy's default thresholds show a field.

    Args:
        raw: Requests in which the candidate differs.
        noise: Requests in which the second baseline differs.
        total: Requests.
    """
    if raw <= noise:
        return False
    relative = abs(raw - noise) / (raw + noise) * 100
    return relative > 20 and abs(raw - noise) / total * 100 > 0.03


def simulate(
    chance: Generator, requests: int, noise: float, regression: float, share: float
) -> tuple[PlaceCounts, tuple[int, int]]:
    """Return the counts that ours sees, and (raw, noise) that the peer sees.

    The candidate has the baseline's noise, and differs by itself in `regression` of the requests.
    """
    candidate = (chance.random(requests) < noise) | (chance.random(requests) < regression)
    again = chance.random(requests) < noise
    paired = chance.random(requests) < share
    counts = PlaceCounts(
        "$.field", requests, int(candidate.sum()), int(paired.sum()),
        int((paired & candidate & ~again).sum()), int((paired & ~candidate & again).sum()),
        int((paired & candidate & again).sum()),
    )
    return counts, (int(candidate.sum()), int(again.sum()))


def alarms(
    chance: Generator, simulations: int, requests: int, noise: float, regression: float,
    share: float,
) -> tuple[float, float]:
    """Return the share of simulations in which (ours, the peer) call the field a regression."""
    ours = peers = 0
    for _ in range(simulations):
        counts, (raw, again) = simulate(chance, requests, noise, regression, share)
        ours += judge_places([counts])[0].judgement is Judgement.REGRESSION
        peers += is_shown_by_diffy(raw, again, requests)
    return ours / simulations, peers / simulations


def watched(
    chance: Generator, simulations: int, requests: int, noise: float, regression: float,
) -> tuple[float, float, float]:
    """Return the shares of simulations in which a regression was found, and firmly; and when.

    Only the pairs in which one differs are drawn: nothing else enters the judgement.
    """
    ever = 0
    first: list[float] = []
    for _ in range(simulations):
        candidate = (chance.random(requests) < noise) | (chance.random(requests) < regression)
        again = chance.random(requests) < noise
        ups, downs = np.cumsum(candidate & ~again), np.cumsum(again & ~candidate)
        at = np.linspace(requests / EVALUATIONS, requests, EVALUATIONS).astype(int) - 1
        pairs = [(int(ups[n]), int(downs[n])) for n in at]
        ever += any(mcnemar(*pair) <= FALSE_DISCOVERIES for pair in pairs)
        first.append(next(((n + 1) / EVALUATIONS for n, pair in enumerate(pairs)
                           if anytime(*pair) <= FALSE_DISCOVERIES), math.inf))
    return ever / simulations, float(np.isfinite(first).mean()), statistics.median(first)


def main() -> None:
    """Simulate every scenario and print the error rates."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--simulations", type=int, default=1000)
    options.add_argument("--noise-share", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    chance = np.random.default_rng(given.seed)
    scenarios = [
        (requests, noise, regression)
        for requests in (1000, 5000, 20_000)
        for noise, regression in ((0.001, 0), (0.01, 0), (0.1, 0), (0, 0.01), (0.05, 0.02),
                                  (0.1, 0.02), (0.1, 0.04))
    ]
    print("requests  noise  regression   ours                peer")
    for requests, noise, regression in track(scenarios, "simulating"):
        ours, peers = alarms(chance, given.simulations, requests, noise, regression,
                             given.noise_share)
        if regression:
            ours, peers = 1 - ours, 1 - peers
        what = "missed" if regression else "false alarms"
        print(f"{requests:8} {noise:6.1%} {regression:8.1%}      {what} {ours:6.1%}   "
              f"{what} {peers:6.1%}")
    print(f"\nwatched, {EVALUATIONS} evaluations")
    print("requests  noise  regression     ever    firm   at half")
    for requests, noise, regression in scenarios:
        ever, firm, half = watched(chance, given.simulations, requests, noise, regression)
        print(f"{requests:8} {noise:6.1%} {regression:8.1%}      {ever:6.1%}  {firm:6.1%}   "
              f"{'never' if math.isinf(half) else f'{half:.0%}'}")


if __name__ == "__main__":
    main()

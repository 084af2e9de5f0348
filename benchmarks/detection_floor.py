"""How soon any test that looks all the time can show harm of independent requests.

    python -m benchmarks.detection_floor

First errors of users alone, errors 0.1 % × 5, 10 % of 200/s. Each row is a mixture of likelihood
ratios with weights that add up to at most 1. The last columns are multiples of the best test that
looks once and knew when (`detection.exact_horizon`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.detection import CASES, POWERS, exact_horizon
from benchmarks.stages import Kind, Reals
from benchmarks.workers import SEED
from changeover.analysis.sequential.stage_sums import ALPHA

KIND = Kind(0, 0.001, per_second=200)
HARM = CASES[0].ratio
SEQUENCES = 20_000
WATCHED = 1_440
ROWS = (
    ("the harm is known", (5.0,), (1.0,)),
    ("× 2, 3, 5, 10 alike", (2.0, 3.0, 5.0, 10.0), (0.25,) * 4),
    ("the same, three quarters in all", (2.0, 3.0, 5.0, 10.0), (0.1875,) * 4),
    ("× 2, 4, 8, three quarters", (2.0, 4.0, 8.0), (0.25,) * 3),
    ("× 2.5, 6, three quarters", (2.5, 6.0), (0.375,) * 2),
    ("× 3 and 5 favoured, three quarters", (2.0, 3.0, 5.0, 10.0), (0.15, 0.225, 0.225, 0.15)),
)


def share_at(ratio: float) -> float:
    """Return the candidate's share of first errors where its rate is such a multiple."""
    own = KIND.weight / 10_000
    return own * ratio / (own * ratio + 1 - own)


def shown_after(
    times: Reals, is_mine: np.ndarray, ratios: Sequence[float], weights: Sequence[float]
) -> Reals:
    """Return after how many seconds each sequence shows harm, shape (SEQUENCES,)."""
    total = np.zeros_like(times)
    for ratio, weight in zip(ratios, weights, strict=True):
        harmed, usual = share_at(ratio), share_at(1.0)
        steps = np.where(
            is_mine, math.log(harmed / usual), math.log((1 - harmed) / (1 - usual)))
        total += weight * np.exp(steps.cumsum(axis=1))
    is_shown = total >= 1 / ALPHA
    first = is_shown.argmax(axis=1)
    found = times[np.arange(len(times)), first]
    return np.where(is_shown.any(axis=1), found, np.inf)


def show() -> None:
    """Print a row for each mixture."""
    random = np.random.default_rng(SEED)
    own = KIND.weight / 10_000
    often = KIND.per_second * KIND.share * (own * HARM + 1 - own)
    number = int(often * WATCHED)
    times = random.exponential(1 / often, (SEQUENCES, number)).cumsum(axis=1)
    is_mine = random.uniform(size=(SEQUENCES, number)) < share_at(HARM)
    fixed = [exact_horizon(KIND, HARM, power) for power in POWERS]
    print(f"{'seconds in 50, 80, 95 %':40}{fixed}: the test that looks once")
    for name, ratios, weights in ROWS:
        found = shown_after(times, is_mine, ratios, weights)
        after = [float(np.quantile(found, power)) for power in POWERS]
        print(f"{name:40}{after[0]:6.0f}{after[1]:6.0f}{after[2]:6.0f}"
              f"{after[1] / fixed[1]:8.2f}x{after[2] / fixed[2]:6.2f}x", flush=True)


if __name__ == "__main__":
    show()

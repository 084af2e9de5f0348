"""How often the fast path rolls back a candidate that is no worse than its baseline.

    python -m benchmarks.fast_path_alarms               # ten thousand hours of each kind
    python -m benchmarks.fast_path_alarms --hours 50

A tenth of the users is on the candidate, which fails as many requests as the baseline does. Health
probes are answered, so that only the rule for errors can raise an alarm. Each hour has users of its
own. A success makes the fast path forget what failed, so only runs of failures are put to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.verdicts import upper
from benchmarks.workers import SEED, many
from changeover.analysis.fast_path import BASELINE_REQUESTS, FEWEST_REQUESTS, Ended, FastPath

HOUR = 3600
CHANCE_OF_USERS = 1.5
"""Spread of the logarithms of users' rates."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is simulated.

    Args:
        users: Users of the candidate; 0 for requests that each have a user of their own.
        share: Share of failed requests of both systems, 0..1.
        per_second: Requests of the candidate a second; the baseline has nine times as many.
    """

    users: int
    share: float
    per_second: float

    @property
    def name(self) -> str:
        """The kind in a table's cell."""
        who = f"{self.users:,} users" if self.users else "independent"
        return f"{who}, {self.share:.1%} failed, {self.per_second:g}/s"


def alarms(kind: Kind, run: int) -> int:
    """Return how many alarms an hour has; after each the path would have rolled back."""
    random = np.random.default_rng((
        SEED, 7, run, kind.users, int(kind.share * 1e6), int(kind.per_second)))
    rates, bad = _people(kind, random, kind.users) if kind.users else (np.ones(1), np.ones(1))
    share = float((rates * bad).sum()) if kind.users else kind.share
    # the baseline's users are nine times as many, of the same kind
    of_baseline = kind.share
    if kind.users:
        others, failing = _people(kind, random, 9 * kind.users)
        of_baseline = float((others * failing).sum())
    # given the users, requests fail independently of each other: who failed, and when, need
    # only be known of the runs
    found = 0
    for length in _runs(kind.per_second * HOUR, share, random):
        at = random.exponential(1 / kind.per_second, length).cumsum()
        user = np.arange(length)
        if kind.users:
            user = random.choice(kind.users, length, p=rates * bad / share)
        failed = random.uniform(size=BASELINE_REQUESTS) < of_baseline
        found += _is_alarm(at, user, failed)
    return found


def _people(
    kind: Kind, random: np.random.Generator, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return users' parts of the traffic, and their shares of failures: very different ones."""
    rates = np.exp(random.normal(0, CHANCE_OF_USERS, number))
    bad = random.beta(0.1, 0.1 * (1 - kind.share) / kind.share, number)
    return rates / rates.sum(), bad


def _runs(requests: float, share: float, random: np.random.Generator) -> np.ndarray:
    """Return the lengths of an hour's runs of failures that may be long enough.

    A run of at least five begins with a success and five failures; how often is Poisson where it is
    rare, and how many more failures follow is geometric.
    """
    often = requests * (1 - share) * share**FEWEST_REQUESTS
    number = random.poisson(often)
    return FEWEST_REQUESTS - 1 + random.geometric(1 - share, number)


def _is_alarm(at: Sequence[float], user: Sequence[int], failed: np.ndarray) -> bool:
    """Whether the fast path raises an alarm in a run of failures, after these of the baseline."""
    path = FastPath()
    for each in failed:
        path.add("baseline", Ended(float(at[0]), bool(each)))
    path.add_probe("baseline", float(at[0]), is_up=True)
    for moment, who in zip(at, user, strict=True):
        path.add("candidate", Ended(float(moment), True, f"user {who}"))
        if path.alarm(float(moment)) is not None:
            return True
    return False


def show(hours: int) -> None:
    """Print how often each kind of healthy candidate is rolled back."""
    print(f"alarms of the fast path in {hours:,} hours of a candidate that is like its baseline")
    print(f"{'':44}{'alarms':>10}{'hours with one (at most)':>28}")
    for users in (0, 200, 50):
        for share in (0.001, 0.01, 0.05, 0.2):
            for per_second in (5, 20, 50):
                kind = Kind(users, share, per_second)
                found = many(partial(alarms, kind), hours)
                hit = sum(each > 0 for each in found)
                print(f"{kind.name:44}{sum(found):10,}{hit:12,} ({upper(hit, hours):7.2%})",
                      flush=True)


if __name__ == "__main__":
    show(int(sys.argv[sys.argv.index("--hours") + 1]) if "--hours" in sys.argv else 10_000)

"""Simulated stages of a rollout: sticky users of very different rates, habits and luck.

Users are hashed into the 10,000 buckets as real ones are. Their request rates are log-normal
(sigma 1.5), their shares of errors Beta(0.1, ·), their latencies differ by N(0, 0.3) on a
log-normal of sigma 0.58. Nothing here knows the method that is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from changeover.analysis.sequential.buckets import Counts

BUCKETS = 10_000
Reals = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is simulated.

    Args:
        users: Sticky users; 0 for independent requests (a user for each bucket, all alike).
        share: Usual share of bad requests, 0..1.
        weight: Buckets of the candidate.
        per_second: Requests a second, all systems together.
        is_slow: Whether bad requests are slow ones, which everybody has.
        incident: Whether both systems fail twenty times as often from minute 20 to 25.
    """

    users: int
    share: float
    weight: int = 1000
    per_second: float = 50.0
    is_slow: bool = False
    incident: bool = False

    @property
    def name(self) -> str:
        """The kind in a table's cell."""
        what = "slow" if self.is_slow else "errors"
        who = f"{self.users:,} users" if self.users else "independent"
        extra = ", incident" if self.incident else ""
        return f"{what} {self.share:.1%}, {who}, {self.weight / BUCKETS:.0%}{extra}"


@dataclass(frozen=True, slots=True)
class Users:
    """Users' shares of the traffic (sum 1), of bad requests, and their buckets."""

    rates: Reals
    bad: Reals
    buckets: Numbers


def users_of(kind: Kind, random: np.random.Generator) -> Users:
    """Return new users."""
    if not kind.users:
        buckets = np.arange(BUCKETS)
        return Users(np.full(BUCKETS, 1 / BUCKETS), np.full(BUCKETS, kind.share), buckets)
    rates = np.exp(random.normal(0, 1.5, kind.users))
    buckets = random.integers(0, BUCKETS, kind.users)
    if kind.is_slow:
        own, chance = random.normal(0, 0.3, kind.users), 0.58
        limit = 1.6448536 * math.hypot(chance, 0.3)
        return Users(rates / rates.sum(), ndtr((own - limit) / chance), buckets)
    bad = random.beta(0.1, 0.1 * (1 - kind.share) / kind.share, kind.users)
    return Users(rates / rates.sum(), bad, buckets)


def span(
    kind: Kind, people: Users, seconds: float, random: np.random.Generator, *,
    times: float = 1.0, added: float = 0.0,
) -> Counts:
    """Return what the users do in a span of time.

    Args:
        kind: What is simulated.
        people: The users.
        seconds: Length of the span.
        random: Where chance comes from.
        times: The candidate's bad requests are so many times as frequent.
        added: The candidate fails this share of requests in addition.
    """
    number = random.poisson(people.rates * kind.per_second * seconds)
    is_mine = people.buckets < kind.weight
    share = np.where(is_mine, people.bad * times + added, people.bad)
    bad = random.binomial(number, np.minimum(share, 1.0))
    return Counts(
        np.bincount(people.buckets, number, BUCKETS).astype(np.int64),
        np.bincount(people.buckets, bad, BUCKETS).astype(np.int64))


def hour(
    kind: Kind, people: Users, step: int, random: np.random.Generator, *,
    times: float = 1.0, added: float = 0.0, seconds: int = 3600,
) -> Iterator[tuple[int, Counts]]:
    """Yield (seconds, sums since the start) after each step of a stage."""
    total = Counts.none()
    for end in range(step, seconds + 1, step):
        now = people
        if kind.incident and 1200 < end <= 1500:
            now = Users(people.rates, np.minimum(people.bad * 20, 1.0), people.buckets)
        total = total + span(kind, now, step, random, times=times, added=added)
        yield end, total

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
INCIDENT = 1200.0, 1500.0
INCIDENT_TIMES = 20.0
EACH_SECOND, LATER_SECONDS = 120, 10
"""Looked at each second at first, then every ten, and after each harm."""


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
class Harm:
    """What the candidate does to its users: bad requests `times` as often, and `added` more."""

    times: float = 1.0
    added: float = 0.0


HEALTHY = Harm()


@dataclass(frozen=True, slots=True)
class Users:
    """Users' shares of the traffic (sum 1), of bad requests, and their buckets."""

    rates: Reals
    bad: Reals
    buckets: Numbers

    def harmed(self, kind: Kind, harm: Harm) -> Reals:
        """Return each user's share of bad requests in the stage."""
        is_mine = self.buckets < kind.weight
        return np.minimum(np.where(is_mine, self.bad * harm.times + harm.added, self.bad), 1.0)


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
    kind: Kind, people: Users, seconds: float, random: np.random.Generator, harm: Harm = HEALTHY,
) -> Counts:
    """Return the sums of what the users do in so many seconds."""
    number = random.poisson(people.rates * kind.per_second * seconds)
    bad = random.binomial(number, people.harmed(kind, harm))
    return Counts(
        np.bincount(people.buckets, number, BUCKETS).astype(np.int64),
        np.bincount(people.buckets, bad, BUCKETS).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Requests:
    """Single requests in the order of time.

    Args:
        at: Seconds since the start, shape (n,).
        buckets: Of whom they are, shape (n,).
        is_bad: Whether each was bad, shape (n,).
    """

    at: Reals
    buckets: Numbers
    is_bad: NDArray[np.bool_]

    def moments(self, kind: Kind, seconds: int) -> Reals:
        """Return when to look: the second after each bad request of the candidate, and others.

        Evidence against the candidate rises with its bad requests, and early in the stage also
        between them. In 50 stages of an hour the highest evidence at these moments was at most
        0.02 below that of all 3,600 seconds, as logarithms.
        """
        harmed = np.ceil(self.at[self.is_bad & (self.buckets < kind.weight)])
        regular = [*range(1, EACH_SECOND), *range(EACH_SECOND, seconds + 1, LATER_SECONDS)]
        return np.unique(np.concatenate([harmed, np.array(regular, np.float64)]))

    def sums(self, moments: Reals) -> Iterator[tuple[float, Counts]]:
        """Yield (moment, sums since the start) of each moment."""
        total = Counts.none()
        first = 0
        for moment, last in zip(moments, np.searchsorted(self.at, moments), strict=True):
            buckets = self.buckets[first:last]
            bad = buckets[self.is_bad[first:last]]
            total = total + Counts(np.bincount(buckets, minlength=BUCKETS),
                                   np.bincount(bad, minlength=BUCKETS))
            first = last
            yield float(moment), total


def requests_of(
    kind: Kind, people: Users, seconds: float, random: np.random.Generator, harm: Harm = HEALTHY,
) -> Requests:
    """Return the single requests of so many seconds of a stage."""
    number = int(random.poisson(kind.per_second * seconds))
    at = np.sort(random.uniform(0, seconds, number))
    ends = np.cumsum(people.rates)
    user = np.searchsorted(ends, random.uniform(0, ends[-1], number))
    share = people.harmed(kind, harm)[user]
    if kind.incident:
        during = (at >= INCIDENT[0]) & (at < INCIDENT[1])
        share = np.where(during, np.minimum(share * INCIDENT_TIMES, 1.0), share)
    return Requests(at, people.buckets[user], random.uniform(size=number) < share)

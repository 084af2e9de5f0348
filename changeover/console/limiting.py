"""How often somebody may be wrong: sign-ins from one address. Pure.

The secrets have 256 random bits, so nobody guesses them, however often. What is limited is the work
that wrong ones make: a salted hash is slow on purpose, and a provider is asked over the network.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

MOST_AT_ONCE = 20
"""Attempts of one address that may follow one another at once."""
SECONDS_EACH = 3.0
"""After them one more is free each time so much has passed."""
MOST_KNOWN = 10_000
"""Addresses that are remembered; the one that was quiet for the longest goes first."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Attempts:
    """Attempts by address, each with a bucket of tokens that fills up by itself.

    In memory: a restart of the console forgets it. Nobody from outside can restart it, and a
    restart takes longer than the bucket takes to give the next few attempts.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, address: str, at: float) -> float:
        """Return how many seconds an address must wait; 0 when it may try now.

        Args:
            address: Where the request came from.
            at: A clock that never goes back, in seconds.
        """
        bucket = self._buckets.get(network(address))
        if bucket is None:
            return 0.0
        left = _left(bucket, at)
        return 0.0 if left >= 1 else (1 - left) * SECONDS_EACH

    def count(self, address: str, at: float) -> None:
        """Count an attempt that made work and led to nothing."""
        name = network(address)
        known = self._buckets.pop(name, None)
        left = _left(known, at) if known else float(MOST_AT_ONCE)
        self._buckets[name] = _Bucket(max(0.0, left - 1), at)
        if len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)


def _left(bucket: _Bucket, at: float) -> float:
    passed = max(0.0, at - bucket.at)
    return min(MOST_AT_ONCE, bucket.left + passed / SECONDS_EACH)


def network(address: str) -> str:
    """Return what counts together of an address: of IPv6 everybody has a whole network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    # of a socket for both versions: else all of IPv4 would be one network
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))

"""From requests, probes and processes to one sample per system and second. No I/O.

The gateway itself has a sample of each second in which something arrived.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import xxhash

from changeover.analysis.histogram import Histogram, bin_of
from changeover.analysis.window import (
    GATEWAY,
    MAIN_GATEWAY,
    SPLIT,
    Measurements,
    Met,
    Sample,
    fewest,
)
from changeover.clock import from_timestamp
from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry, Outcome, classify, refusal, share_of, statuses_of
from changeover.plan.subsets import is_part_of_traffic

_SYSTEMS = frozenset(map(str, System))
KEEP_SECONDS = 120
"""Late log lines are added to seconds this old at most."""


@dataclass
class _Tally:
    """How some requests went. `numbers` are a sample's, by their names."""

    numbers: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    errors: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    bins: dict[int, int] = field(default_factory=dict)
    users: dict[str, set[int]] = field(default_factory=dict)

    def add(self, entry: Entry, outcome: Outcome) -> None:
        """Count a request."""
        self.numbers["requests"] += 1
        self.numbers["client_errors"] += outcome.is_client_error
        self.numbers["user_errors"] += outcome.is_user_error
        self.numbers["redirects"] += outcome.is_redirect
        self.numbers["keyless"] += not entry.key
        self._add_split(entry, outcome)
        if outcome.is_answer:
            self._add_answer(entry.body_bytes or 0)
        for status in statuses_of(entry):
            _count(self.statuses, status)
        if outcome.error is not None:
            _count(self.errors, outcome.error)
        _count(self.bins, bin_of(entry.duration_us))

    def _add_split(self, entry: Entry, outcome: Outcome) -> None:
        """Count a request whose user the split sent to the system, by the system's share."""
        share = share_of(entry, outcome.system)
        if share is None:
            return
        self.numbers["split_requests"] += 1
        if outcome.error is None and not outcome.is_client_error:
            self.numbers["split_successes"] += 1 / share

    def _add_answer(self, body_bytes: int) -> None:
        self.numbers["answers"] += 1
        self.numbers["empty_answers"] += not body_bytes
        self.numbers["answer_bytes"] += body_bytes
        # of the logarithms: one huge answer hardly changes their mean
        self.numbers["answer_logs"] += math.log1p(body_bytes)

    def measured(self) -> dict[str, Any]:
        """Return it as fields of `Measurements`."""
        return {
            "errors": dict(self.errors), "statuses": dict(self.statuses),
            "latency": Histogram(dict(self.bins)),
            "users": {kind: fewest(users) for kind, users in sorted(self.users.items())},
            **self.numbers}


def _count(counts: dict[Any, int], name: Any) -> None:
    counts[name] = counts.get(name, 0) + 1


@dataclass
class _Second(_Tally):
    """A second that is being filled, with the subsets of its requests.

    `subsets` is None when a line did not say which ones its request is in: nothing is known then.
    """

    subsets: dict[str, _Tally] | None = field(default_factory=dict)
    listened: int = 0
    memory_bytes: int | None = None
    cpu_cores: float | None = None
    is_changed: bool = True


class Accumulator:
    """Fills seconds, and returns each again when it has changed.

    Args:
        first: Unix second; requests that ended before it were counted before a restart.
        subsets: Names of the subsets of requests that are counted of their own.
        gateway: Name of the gateway whose requests they are.

    `listening_until` is the Unix second until which applications could report outcomes, as far as
    is known.
    """

    def __init__(
        self, *, first: int, subsets: Iterable[str] = (), gateway: str = MAIN_GATEWAY
    ) -> None:
        self._first, self._gateway = first, gateway
        self._subsets = sorted(subsets)
        self._counted = frozenset(self._subsets)
        self._seconds: dict[tuple[str, int], _Second] = {}
        self._user_errors: dict[tuple[str, str], datetime] = {}
        self._kept_from = first
        self.newest = first
        self.listening_until = 0

    # requests are read from the log again, so only what is not in the log is restored
    def restore(self, samples: Iterable[Sample]) -> None:
        """Set probes and process figures of seconds whose requests are read again."""
        for sample in samples:
            if sample.at >= self._first:
                second = self._second(sample.system, sample.at)
                second.numbers |= {"probes": sample.probes, "probes_up": sample.probes_up}
                second.memory_bytes, second.cpu_cores = sample.memory_bytes, sample.cpu_cores

    def add(self, entry: Entry) -> None:
        """Count one request for the gateway, and for the system that it was meant for."""
        at = int(entry.end)
        if at < self._first:
            return
        # also a line of the past counts as read: the log is in the order of the ends
        self.newest = max(self.newest, at)
        # A line that comes minutes late must not replace a second that was stored and forgotten.
        at = max(at, self._kept_from)
        self._add_to_gateway(entry, at)
        outcome = classify(entry)
        if outcome is not None:
            self._add_to_system(entry, outcome, at)

    def _add_to_gateway(self, entry: Entry, at: int) -> None:
        second = self._second(GATEWAY, at)
        second.numbers["requests"] += 1
        if (reason := refusal(entry)) is not None:
            second.errors[reason] = second.errors.get(reason, 0) + 1

    def _add_to_system(self, entry: Entry, outcome: Outcome, at: int) -> None:
        second = self._second(outcome.system, at)
        second.add(entry, outcome)
        parts = self._add_to_subsets(second, entry, outcome)
        if entry.key:
            _add_user([second, *parts], entry, outcome)
        if entry.key and outcome.error is not None:
            user = hashlib.sha256(entry.key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            when = from_timestamp(entry.end)
            self._user_errors.setdefault((user, str(outcome.system)), when)

    def _add_to_subsets(
        self, second: _Second, entry: Entry, outcome: Outcome
    ) -> list[_Tally]:
        """Count a request in its subsets; return those whose users are remembered."""
        # one request without the mark, and the second's subsets are unknown as a whole
        if entry.subsets is None:
            second.subsets = None
        if second.subsets is None or entry.subsets is None:
            return []
        parts = []
        for name in entry.subsets & self._counted:
            tally = second.subsets.setdefault(name, _Tally())
            tally.add(entry, outcome)
            # guardrails count users; they compare parts of the traffic, and no segments
            if is_part_of_traffic(name):
                parts.append(tally)
        return parts

    def add_probe(self, system: str, at: int, *, is_up: bool) -> None:
        """Count one health probe that ended in second `at`."""
        second = self._second(system, at)
        second.numbers["probes"] += 1
        second.numbers["probes_up"] += is_up

    def add_process(self, system: str, at: int, *, memory_bytes: int, cpu_cores: float) -> None:
        """Note how much memory and how many cores a system's processes use."""
        second = self._second(system, at)
        # the greatest of a second: a process that is measured twice must not hide its peak
        second.memory_bytes = max(memory_bytes, second.memory_bytes or 0)
        second.cpu_cores = cpu_cores

    def set_back(self, to: int) -> None:
        """Go on at an earlier second: the clock was set back.

        Seconds that come for a second time are counted anew, and stored in the place of the old.
        """
        # what was measured of them is stored already, and is replaced second by second
        self._seconds = {key: each for key, each in self._seconds.items() if key[1] < to}
        self._first = min(self._first, to)
        self._kept_from = min(self._kept_from, to)
        self.newest = min(self.newest, to)

    def pop_user_errors(self) -> dict[tuple[str, str], datetime]:
        """Return (hash of the user's key, system) with the first error since the last call."""
        found, self._user_errors = self._user_errors, {}
        return found

    def pop_changed(self, before: int) -> list[Sample]:
        """Return samples of seconds before `before` that are new or changed, oldest first."""
        for at in range(self._oldest_gap(before), before):
            for name in System:
                self._seconds.setdefault((str(name), at), _Second())
        changed = []
        for (system, at), second in self._seconds.items():
            if second.is_changed and at < before:
                changed.append((at, system))
        changed.sort()
        for at, system in changed:
            self._seconds[system, at].is_changed = False
            # said anew of each sample: `listening_until` follows the console's signs of life
            self._seconds[system, at].listened = int(at < self.listening_until)
        samples = [self._sample(system, at, self._seconds[system, at]) for at, system in changed]
        self._forget(before - KEEP_SECONDS)
        return samples

    def _sample(self, system: str, at: int, second: _Second) -> Sample:
        return Sample(
            system, at, gateway=self._gateway, watched=1, listened=second.listened,
            subsets=self._of_subsets(system, second),
            memory_bytes=second.memory_bytes, cpu_cores=second.cpu_cores, **second.measured(),
        )

    def _of_subsets(self, system: str, second: _Second) -> dict[str, Measurements]:
        """Return what was measured of each subset: also of one that had no request."""
        if second.subsets is None or system not in _SYSTEMS:
            return {}
        return {name: Measurements(**second.subsets.get(name, _Tally()).measured())
                for name in self._subsets}

    def _oldest_gap(self, before: int) -> int:
        """Return the first second to fill with zeros: after the newest one returned."""
        # at most five seconds: after a longer pause nobody watched, so zeros would be invented
        known = [at for _, at in self._seconds if at < before]
        return max(min(known, default=before), before - 5)

    def _second(self, system: str, at: int) -> _Second:
        second = self._seconds.setdefault((str(system), at), _Second())
        second.is_changed = True
        return second

    def _forget(self, before: int) -> None:
        self._kept_from = max(self._kept_from, before)
        for key in [key for key in self._seconds if key[1] < before]:
            del self._seconds[key]


def _add_user(tallies: Iterable[_Tally], entry: Entry, outcome: Outcome) -> None:
    """Note what happened to the user of a request, wherever the request is counted."""
    is_empty = outcome.is_answer and not entry.body_bytes
    happened = (
        (Met.ANSWER, True), (Met.CLIENT_ERROR, outcome.is_client_error),
        (Met.REDIRECT, outcome.is_redirect), (Met.EMPTY, is_empty),
        (Met.ERROR, outcome.error is not None))
    user = user_number(entry.key or "", is_split=entry.route.startswith("split:"))
    for kind, has_happened in happened:
        for tally in tallies if has_happened else ():
            tally.users.setdefault(str(kind), set()).add(user)


def user_number(key: str, *, is_split: bool) -> int:
    """Return the number under which a user is remembered: independent of the user's bucket."""
    # its own seed: with the split's hash, few users would stand for few buckets
    number = xxhash.xxh32_intdigest(key.encode("utf-8", "surrogatepass"), seed=1)
    # one bit says whether the split chose the user's system, the rest is the number
    return number & ~SPLIT | (SPLIT if is_split else 0)

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
from changeover.analysis.window import GATEWAY, SPLIT, Met, Sample, fewest
from changeover.clock import from_timestamp
from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry, Outcome, classify, refusal

KEEP_SECONDS = 120
"""Late log lines are added to seconds this old at most."""


@dataclass
class _Second:
    """A second that is being filled. `numbers` are a sample's, by their names."""

    numbers: dict[str, Any] = field(default_factory=lambda: defaultdict(int))
    users: dict[str, set[int]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    bins: dict[int, int] = field(default_factory=dict)
    listened: int = 0
    memory_bytes: int | None = None
    cpu_cores: float | None = None
    is_changed: bool = True


class Accumulator:
    """Fills seconds, and returns each again when it has changed.

    Args:
        first: Unix second; requests that ended before it were counted before a restart.

    `listening_until` is the Unix second until which applications could report outcomes, as far as
    is known.
    """

    def __init__(self, *, first: int) -> None:
        self._first = first
        self._seconds: dict[tuple[str, int], _Second] = {}
        self._user_errors: dict[tuple[str, str], datetime] = {}
        self._kept_from = first
        self.newest = first
        self.listening_until = 0

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
        second.numbers["requests"] += 1
        second.numbers["client_errors"] += outcome.is_client_error
        second.numbers["user_errors"] += outcome.is_user_error
        second.numbers["redirects"] += outcome.is_redirect
        if outcome.is_answer:
            _add_answer(second, entry.body_bytes or 0)
        if entry.key:
            _add_user(second, entry, outcome)
        index = bin_of(entry.duration_us)
        second.bins[index] = second.bins.get(index, 0) + 1
        if outcome.error is not None:
            second.errors[outcome.error] = second.errors.get(outcome.error, 0) + 1
            if entry.key:
                user = hashlib.sha256(
                    entry.key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
                when = from_timestamp(entry.end)
                self._user_errors.setdefault((user, str(outcome.system)), when)

    def add_probe(self, system: str, at: int, *, is_up: bool) -> None:
        """Count one health probe that ended in second `at`."""
        second = self._second(system, at)
        second.numbers["probes"] += 1
        second.numbers["probes_up"] += is_up

    def add_process(self, system: str, at: int, *, memory_bytes: int, cpu_cores: float) -> None:
        """Note how much memory and how many cores a system's processes use."""
        second = self._second(system, at)
        second.memory_bytes = max(memory_bytes, second.memory_bytes or 0)
        second.cpu_cores = cpu_cores

    def set_back(self, to: int) -> None:
        """Go on at an earlier second: the clock was set back.

        Seconds that come for a second time are counted anew, and stored in the place of the old.
        """
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
        changed = sorted(
            (at, system)
            for (system, at), second in self._seconds.items()
            if second.is_changed and at < before
        )
        for at, system in changed:
            self._seconds[system, at].is_changed = False
            self._seconds[system, at].listened = int(at < self.listening_until)
        samples = [_sample(system, at, self._seconds[system, at]) for at, system in changed]
        self._forget(before - KEEP_SECONDS)
        return samples

    def _oldest_gap(self, before: int) -> int:
        """Return the first second to fill with zeros: after the newest one returned."""
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


def _add_answer(second: _Second, body_bytes: int) -> None:
    second.numbers["answers"] += 1
    second.numbers["empty_answers"] += not body_bytes
    second.numbers["answer_bytes"] += body_bytes
    second.numbers["answer_logs"] += math.log1p(body_bytes)


def _add_user(second: _Second, entry: Entry, outcome: Outcome) -> None:
    """Note what happened to the user of a request."""
    is_empty = outcome.is_answer and not entry.body_bytes
    met = [Met.ANSWER, *(kind for kind, has_happened in (
        (Met.CLIENT_ERROR, outcome.is_client_error), (Met.REDIRECT, outcome.is_redirect),
        (Met.EMPTY, is_empty), (Met.ERROR, outcome.error is not None)) if has_happened)]
    user = user_number(entry.key or "", is_split=entry.route.startswith("split:"))
    for kind in met:
        second.users.setdefault(str(kind), set()).add(user)


def user_number(key: str, *, is_split: bool) -> int:
    """Return the number under which a user is remembered: independent of the user's bucket."""
    number = xxhash.xxh32_intdigest(key.encode("utf-8", "surrogatepass"), seed=1)
    return number & ~SPLIT | (SPLIT if is_split else 0)


def _sample(system: str, at: int, second: _Second) -> Sample:
    return Sample(
        system, at, watched=1, listened=second.listened,
        users={kind: fewest(users) for kind, users in sorted(second.users.items())},
        errors=dict(second.errors), latency=Histogram(dict(second.bins)),
        memory_bytes=second.memory_bytes, cpu_cores=second.cpu_cores, **second.numbers,
    )

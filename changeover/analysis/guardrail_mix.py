"""Guardrails of a plan with routes: the baseline's answers, weighed by what the candidate is asked.

A system that serves one path only answers as that path does: a page of redirects redirects always.
Against everything that the other system serves this would look like a failure. So the baseline's
share of bad answers is known for each part of the traffic, and counts as often as the candidate
gets requests of this part. Of a part that the baseline was hardly asked for, nothing is known: it
is left out. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from changeover.analysis.guardrail_rollback import NEARLY_ALL, Usual, takes_all
from changeover.analysis.guardrails import COUNTED, ENOUGH, forgot_users
from changeover.analysis.window import Measurements, Sample, Window, combine
from changeover.plan.guardrails import Guardrail
from changeover.plan.subsets import REST

MOST_REMEMBERED = 100_000
"""Requests of a part; then half of them are forgotten, so that what is new counts more."""

_Requests = Sequence[tuple[int, str, Measurements]]
"""(second, part, what was measured) of what somebody asked for."""


@dataclass(frozen=True)
class Lately:
    """The last seconds of both systems.

    Args:
        own: The candidate's samples.
        baseline: The baseline's samples.
        at: The last second.
    """

    own: Sequence[Sample]
    baseline: Sequence[Sample]
    at: int

    @cached_property
    def asked(self) -> _Requests:
        """What the candidate was asked, by second and part."""
        return _asked(self.own)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why a guardrail rolls back, and the parts of the traffic that it compared."""

    reason: str
    parts: tuple[str, ...]


class Mix:
    """What the baseline answered, by part of the traffic.

    Args:
        names: The guardrails.
        parts: Names of the subsets of which each request is in one.
        windows: Seconds that may be looked at, the fewest first: the first with enough requests is.
    """

    def __init__(
        self, names: Iterable[Guardrail], parts: Iterable[str], windows: Sequence[int]
    ) -> None:
        self._parts, self._windows = frozenset(parts), windows
        self._known = {name: dict.fromkeys(self._parts, (0, 0)) for name in names}

    def learn(self, subsets: Mapping[str, Measurements]) -> None:
        """Add requests of the baseline."""
        for name, known in self._known.items():
            for part in self._parts:
                bad, total = _count(name, subsets.get(part))
                bad, total = known[part][0] + bad, known[part][1] + total
                known[part] = (bad // 2, total // 2) if total > MOST_REMEMBERED else (bad, total)

    def learn_before(self, window: Window) -> None:
        """Add what the baseline answered in a longer time before."""
        self.learn(window.subsets)
        if REST in window.subsets:
            return
        # an earlier version counted routes only: what is in none of them is what is left
        for name, known in self._known.items():
            routes = [_count(name, window.subsets.get(part)) for part in self._parts]
            bad, total = _count(name, window)
            bad -= sum(each for each, _ in routes)
            total -= sum(each for _, each in routes)
            known[REST] = known[REST][0] + max(0, bad), known[REST][1] + max(0, total)

    def alarm(self, name: Guardrail, lately: Lately) -> Alarm | None:
        """Return why a guardrail rolls back by what both systems serve; None while it does not.

        Args:
            name: A guardrail.
            lately: The last seconds.
        """
        mine = self._comparable(name, lately)
        bad, total = _sum(name, mine)
        # said here already, before so many samples are added up
        if total < ENOUGH or bad < NEARLY_ALL * total:
            return None
        own = _window(mine)
        # seconds that were stored by an earlier version have no users of single parts
        if forgot_users(own):
            own = replace(own, users=combine(lately.own, seconds=1).users)
        reason = takes_all(name, own, self._usual(name, mine, lately))
        if reason is None:
            return None
        return Alarm(reason, tuple(sorted({part for _, part, _ in mine})))

    def unknown(self, name: Guardrail, lately: Lately) -> bool:
        """Whether the candidate is asked, and of nothing that it is asked the baseline's answers
        are known.
        """
        asked = _of(lately.asked, self._parts)
        # samples without any subset say nothing of what was asked
        if not asked:
            return sum(_count(name, row)[1] for row in lately.own) >= ENOUGH
        known = self._known[name]
        is_known = any(known[part][1] >= ENOUGH for _, part, _ in asked)
        return not is_known and _sum(name, asked)[1] >= ENOUGH

    def _comparable(self, name: Guardrail, lately: Lately) -> _Requests:
        """Return the candidate's requests of parts that are known, of as few seconds as will do."""
        known = self._known[name]
        parts = {part for part in self._parts if known[part][1] >= ENOUGH}
        return self._last(name, _of(lately.asked, parts), lately.at)

    def _last(self, name: Guardrail, asked: _Requests, at: int) -> _Requests:
        for seconds in self._windows:
            found = [each for each in asked if each[0] > at - seconds]
            if _sum(name, found)[1] >= ENOUGH:
                return found
        return []

    def _usual(self, name: Guardrail, mine: _Requests, lately: Lately) -> Usual:
        """Return how the baseline answers these requests, always or now, whichever is worse."""
        asked, known = _by_part(name, mine), self._known[name]
        # what both systems fail is not the candidate's doing, however well the baseline once was
        now = _by_part(name, self._last(name, _of(_asked(lately.baseline), asked), lately.at))
        expected = 0.0
        for part, (_, total) in asked.items():
            shares = [bad / seen for bad, seen in (known[part], now.get(part, (0, 0))) if seen]
            expected += total * max(shares)
        everything = sum(total for _, total in asked.values())
        return Usual(expected / everything, sum(known[part][1] for part in asked))


def _count(name: Guardrail, measured: Measurements | None) -> tuple[int, int]:
    return (0, 0) if measured is None else COUNTED[name][1](measured)


def _sum(name: Guardrail, requests: _Requests) -> tuple[int, int]:
    counts = [_count(name, each) for _, _, each in requests]
    return sum(bad for bad, _ in counts), sum(total for _, total in counts)


def _by_part(name: Guardrail, requests: _Requests) -> dict[str, tuple[int, int]]:
    """Return (bad, all) of each part."""
    found: dict[str, tuple[int, int]] = {}
    for _, part, each in requests:
        (bad, total), (more_bad, more) = found.get(part, (0, 0)), _count(name, each)
        found[part] = bad + more_bad, total + more
    return found


def _asked(rows: Iterable[Sample]) -> _Requests:
    """Return what was asked, by second and part."""
    return [(row.at, part, each) for row in rows for part, each in row.subsets.items()
            if each.requests]


def _of(asked: _Requests, parts: Collection[str]) -> _Requests:
    return [each for each in asked if each[1] in parts]


def _window(requests: _Requests) -> Window:
    rows = []
    for at, _, each in requests:
        sums = {field.name: getattr(each, field.name) for field in fields(Measurements)}
        rows.append(Sample("", at, **sums))
    return combine(rows, seconds=1)

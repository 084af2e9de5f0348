"""From requests to slices by bucket. No I/O.

1. A request is counted in the slice of its split that is open, in the order of the log; a closed
   slice never changes, so that a late line changes no verdict.
2. Slices and the place in the log up to which they count are saved in one transaction.
3. A restart goes on from that place: no request is lost, none is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from changeover.analysis.sequential.counters import Valued, Wanted
from changeover.analysis.sequential.scales import chance_of
from changeover.analysis.sequential.slices import Counter, Excluded, Slice
from changeover.analysis.window import ErrorClass
from changeover.domain.buckets import BUCKETS, number_of
from changeover.domain.routing import System
from changeover.domain.slices import SlowBound
from changeover.gateway.accesslog import Entry, Outcome, statuses_of
from changeover.gateway.envoy.choice import KEPT
from changeover.gateway.tailer import Place
from changeover.plan.routing import KeyRule
from changeover.plan.subsets import counted_in

SECONDS = 60
"""Length of a slice."""
SHORTER = ((60, 2), (600, 10))
"""(seconds after a new split, length of slices until then): stages may settle and soak for seconds
only, and a slice is in a stage as a whole or not at all."""


@dataclass
class _Open:
    """A slice that is being filled."""

    weight: int
    start: int
    until: int
    end: int
    sums: dict[str, dict[int, int]] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    is_changed: bool = True

    def add(self, number: int, names: Iterable[str]) -> None:
        for name in names:
            counter = self.sums.setdefault(name, {})
            counter[number] = counter.get(number, 0) + 1

    def add_amounts(self, amounts: Iterable[tuple[int, str, int]]) -> None:
        for number, name, amount in amounts:
            counter = self.sums.setdefault(name, {})
            counter[number] = counter.get(number, 0) + amount

    def exclude(self, reasons: Iterable[str]) -> None:
        for reason in reasons:
            self.excluded[reason] = self.excluded.get(reason, 0) + 1

    def slice(self) -> Slice:
        sums = {}
        for name, counter in self.sums.items():
            total = np.zeros(BUCKETS, np.int64)
            # all numbers at once: setting ten thousand one by one takes milliseconds
            total[list(counter)] = list(counter.values())
            sums[name] = total
        return Slice(self.weight, self.start, self.end, sums, dict(self.excluded))

    @classmethod
    def of(cls, known: Slice, until: int) -> _Open:
        sums = {
            name: {int(number): int(numbers[number]) for number in np.flatnonzero(numbers)}
            for name, numbers in known.sums.items()
        }
        return cls(known.weight, known.start, until, known.end, sums, dict(known.excluded),
                   is_changed=False)


class Slicer:
    """Fills slices and hands out those that changed.

    Args:
        rule: How the plan makes a bucket of a key.
        place: Up to where the log was counted before a restart; None at the first start.
        known: Slices that may still have been open then.
        wanted: Counters of statuses and of subsets of requests that the plan needs.
        valued: Sizes of answers that the plan needs the sums of.
    """

    def __init__(
        self, rule: KeyRule, place: Place | None = None, known: Iterable[Slice] = (),
        *, wanted: Sequence[Wanted] = (), valued: Sequence[Valued] = (),
    ) -> None:
        self._rule, self.place = rule, place
        self._wanted, self._valued = wanted, valued
        self._bounds: tuple[SlowBound, ...] = ()
        self._open: dict[int, _Open] = {}
        self._closed: list[_Open] = []
        self._since: dict[int, int] = {}
        self._newest = 0
        self._excluded: dict[str, int] = {}
        for each in known:
            self._since.setdefault(each.weight, each.start)
            self._open[each.weight] = _Open.of(each, self._until(each.weight, each.start))

    def time_by(self, bounds: Sequence[SlowBound]) -> None:
        """Count slow requests by these bounds from now on."""
        self._bounds = tuple(bounds)

    def add(self, entry: Entry, outcome: Outcome, *, is_withholding: bool = False) -> None:
        """Count a request that a system was asked for.

        Args:
            entry: The request.
            outcome: How it went.
            is_withholding: Whether back-pressure sends the candidate's requests to the baseline at
                present: those say nothing of the candidate.
        """
        # as the gateway writes it: `split:2500:…`, `baseline`, `segment:NAME`, and others
        target, _, rest = entry.route.partition(":")
        why_not = _why_excluded(entry, target)
        # answered by the baseline at the first attempt: nobody asked the candidate
        if is_withholding and outcome.error is ErrorClass.SAVED and entry.attempts == 1:
            why_not = Excluded.WITHHELD
        weight = int(rest.partition(":")[0] or 0) if target == "split" else 0
        number = -1
        if why_not is None:
            found = entry.bucket if entry.key else None
            found = number_of(entry.key, self._rule) if found is None else found
            if found is None:
                why_not = Excluded.NO_KEY
        if why_not is None and found is not None:
            number = found
            # the gateway went by another key than the one that it logged
            if target == "split" and (number < weight) != (outcome.system is System.CANDIDATE):
                why_not = Excluded.UNCLEAR_KEY
        # such a request names no split: it is counted with the one in force
        if why_not is Excluded.NOT_BY_SPLIT or (why_not is not None and target != "split"):
            weight = self._latest_weight()
        place = self._slice(weight, int(entry.end))
        place.is_changed = True
        if why_not is not None:
            place.exclude([counted_in(subset, why_not) for subset in self._subsets_of(entry)])
        else:
            place.add(number, self._names(entry, outcome))
            if self._valued and outcome.is_answer:
                place.add_amounts(self._amounts(number, entry, outcome))

    def _amounts(
        self, number: int, entry: Entry, outcome: Outcome
    ) -> Iterator[tuple[int, str, int]]:
        """Yield what the size of an answer adds to sums: bucket, counter, amount."""
        subsets, is_mine = self._subsets_of(entry), outcome.system is System.CANDIDATE
        chance = chance_of(f"{entry.key} {entry.end!r}")
        for each in self._valued:
            if each.subset in subsets:
                yield from each.amounts(
                    number, entry.body_bytes or 0, chance, is_candidate=is_mine)

    def _subsets_of(self, entry: Entry) -> list[str | None]:
        """Return the subsets of requests that a request counts in; None stands for all of them."""
        asked = [each.subset for each in self._wanted] + [each.subset for each in self._valued]
        named = dict.fromkeys(each for each in asked if each is not None)
        mine = entry.subsets or ()
        return [None, *(name for name in named if name in mine)]

    def _names(self, entry: Entry, outcome: Outcome) -> list[str]:
        """Return the counters that a request is in."""
        kinds, subsets = _counted(entry, outcome), self._subsets_of(entry)
        found: list[str] = list(kinds)
        for each in self._wanted:
            if each.subset in subsets:
                found += each.names(kinds, statuses_of(entry))
        bounds = [bound for bound in self._bounds if bound.subset in subsets]
        return found + _timed(entry, outcome, bounds)

    def reach(self, place: Place) -> None:
        """Note that the log was counted up to a place."""
        self.place = place

    def pop_changed(self) -> list[Slice]:
        """Return slices that are new or changed since the last call; open ones come again."""
        changed = [each for each in chain(self._closed, self._open.values()) if each.is_changed]
        for each in changed:
            each.is_changed = False
        self._closed.clear()
        return [each.slice() for each in changed]

    def _latest_weight(self) -> int:
        """Return the split that was in force last: excluded requests are counted with it."""
        return max(self._open, key=lambda weight: self._open[weight].end, default=0)

    def _slice(self, weight: int, second: int) -> _Open:
        """Return the split's open slice at a second; a new one when the last is over."""
        known = self._open.get(weight)
        if known is not None and second < known.until:
            known.end = max(known.end, second + 1)
            return known
        start = second if known is None else max(second, known.until)
        if known is not None:
            self._closed.append(known)
        # after a pause the split counts as new: another stage may use the same share
        is_new = known is None or start - known.end > SECONDS
        if is_new:
            self._since[weight] = start
        self._open[weight] = _Open(
            weight, start, self._until(weight, start), second + 1)
        return self._open[weight]

    def _until(self, weight: int, start: int) -> int:
        """Return the second in which a slice ends that starts at another."""
        age = start - self._since[weight]
        length = next((each for until, each in SHORTER if age < until), SECONDS)
        return start // length * length + length


def _why_excluded(entry: Entry, target: str) -> Excluded | None:
    if target not in ("split", "baseline") or entry.route.endswith(KEPT):
        return Excluded.NOT_BY_SPLIT
    return None if entry.key else Excluded.NO_KEY


def _timed(entry: Entry, outcome: Outcome, bounds: Sequence[SlowBound]) -> list[str]:
    """Return the counters of slow requests that a request is in."""
    is_mine = outcome.system is System.CANDIDATE
    found = []
    for bound in bounds:
        found.append(bound.of)
        if entry.duration_us > (bound.candidate_us if is_mine else bound.baseline_us):
            found.append(bound.events)
    return found


def _counted(entry: Entry, outcome: Outcome) -> list[str]:
    """Return the counters of all requests that a request is in."""
    named = (
        (Counter.REQUESTS, True),
        (Counter.ERRORS, outcome.error is not None),
        (Counter.SERVER_ERRORS, outcome.error == "status_5xx"),
        (Counter.USER_ERRORS, outcome.is_user_error),
        (Counter.CLIENT_ERRORS, outcome.is_client_error),
        (Counter.REDIRECTS, outcome.is_redirect),
        (Counter.ANSWERS, outcome.is_answer),
        (Counter.EMPTY_ANSWERS, outcome.is_answer and not entry.body_bytes),
    )
    return [name for name, has_happened in named if has_happened]

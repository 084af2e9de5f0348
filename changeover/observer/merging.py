"""The seconds of several gateways added up, each row once.

Rows of single gateways are kept for some seconds only: those of hundreds have some hundred
megabytes. Of an older second its sum is known, and whose rows are in it. A row that is not in it is
added. One that is in it and is another one by now cannot be taken out of a sum again (users that
are remembered, the highest memory): the whole second is read anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from changeover.analysis.window import MAIN_GATEWAY, Sample
from changeover.store.samples import sum_of

Key = tuple[str, int]
"""System and second."""


@dataclass(slots=True)
class _Second:
    """What is known of one second of one system.

    Args:
        own: The rows of this machine's gateway and the main one, by gateway: few, never dropped.
        of: The other gateways that have a row in it.
        rows: Their rows; None when only their sum is kept.
        total: The sum of their rows without those that wait.
        waiting: Rows that are not in it yet.
    """

    own: dict[str, Sample] = field(default_factory=dict)
    of: set[str] = field(default_factory=set)
    rows: dict[str, Sample] | None = field(default_factory=dict)
    total: Sample | None = None
    waiting: list[Sample] = field(default_factory=list)

    def put(self, row: Sample) -> bool:
        """Add or replace a row of another gateway; return False when that cannot be done."""
        is_known = row.gateway in self.of
        if is_known and self.rows is None:
            return False
        self.of.add(row.gateway)
        if self.rows is not None:
            self.rows[row.gateway] = row
        if is_known and self.rows is not None:
            self.total, self.waiting = None, list(self.rows.values())
        else:
            self.waiting.append(row)
        return True

    def has(self, row: Sample) -> bool:
        """Whether just this row is known."""
        if row.gateway in self.own:
            return self.own[row.gateway] == row
        return self.rows is not None and self.rows.get(row.gateway) == row

    def sum(self) -> Sample:
        """Return the sum of all gateways: of one that is the main one, its own row."""
        self.fold()
        parts = [*self.own.values(), *([self.total] if self.total else [])]
        return parts[0] if len(parts) == 1 and parts[0].gateway == MAIN_GATEWAY else _sum(parts)

    def fold(self) -> None:
        """Add what waits."""
        if self.waiting:
            self.total = _sum([*([self.total] if self.total else []), *self.waiting])
            self.waiting = []


class Merging:
    """Adds up the samples of several gateways, second by second. Called under the owner's lock.

    Args:
        own: Name of this machine's gateway.

    `whole_from` is the second from which on all rows came here: of earlier ones some may be in the
    store only, so each that changes is read anew.
    """

    def __init__(self, own: str = MAIN_GATEWAY) -> None:
        self._own = {own, MAIN_GATEWAY}
        self._seconds: dict[Key, _Second] = {}
        self._changed: set[Key] = set()
        self._stale: set[Key] = set()
        self.whole_from = 0

    def add(self, rows: Iterable[Sample]) -> None:
        """Add samples of any gateways; those of the same gateway and second are replaced."""
        touched = set()
        for row in rows:
            key = row.system, row.at
            second = self._second(key)
            if second.has(row) and row.gateway not in self._own:
                continue
            if row.gateway in self._own:
                second.own[row.gateway] = row
            elif not second.put(row):
                self._stale.add(key)
            touched.add(key)
        self._changed |= touched
        # now, by the thread that reads: whoever judges must not wait for hundreds of rows
        for key in touched:
            self._seconds[key].fold()

    def know(self, rows: Sequence[Sample]) -> bool:
        """Take in what is stored of one earlier second, which is no news.

        What this machine still reads of it in its log is added to the others' sum.

        Args:
            rows: Those of all gateways, of one system and second.

        Returns:
            Whether other gateways have any.
        """
        others = [row for row in rows if row.gateway not in self._own]
        if others:
            own = {row.gateway: row for row in rows if row.gateway in self._own}
            self._seconds[others[0].system, others[0].at] = _Second(
                own, {row.gateway for row in others}, None, _sum(others))
        return bool(others)

    def replace(self, key: Key, rows: Sequence[Sample]) -> None:
        """Set all rows of a second that was `stale`; what this machine measured itself stays."""
        before = self._seconds.get(key)
        second = self._seconds[key] = _Second()
        for row in rows:
            if row.gateway in self._own:
                second.own[row.gateway] = row
            else:
                second.put(row)
        second.fold()
        if before is not None:
            second.own |= before.own
        self._stale.discard(key)
        self._changed.add(key)
        # deleted meanwhile
        if not second.own and second.total is None:
            del self._seconds[key]
            self._changed.discard(key)

    @property
    def stale(self) -> list[Key]:
        """The seconds that must be read anew before they are judged, oldest first."""
        return sorted(self._stale, key=_by_time)

    def pop_changed(self) -> list[Sample]:
        """Return the sums of the seconds that changed since the last call, oldest first.

        Those that are read anew first are not among them.
        """
        found, self._changed = self._changed - self._stale, self._changed & self._stale
        return [self._seconds[key].sum() for key in sorted(found, key=_by_time)]

    def forget(self, before: int, *, rows: int = 0, unread: int | None = None) -> None:
        """Forget seconds before one, and the single rows of those before a later one.

        Args:
            before: Seconds before are forgotten; what still changes of them is read anew.
            rows: Of seconds before, sums are kept only.
            unread: Those that are still to be read anew are forgotten before this one; None: also
                before `before`.
        """
        unread = before if unread is None else unread
        for key in [key for key in self._seconds if key[1] < before]:
            if key in self._stale and key[1] >= unread:
                continue
            # others' rows are in the store only by now: this machine's alone would replace the sum
            if self._seconds.pop(key).of:
                self.whole_from = max(self.whole_from, key[1] + 1)
            self._stale.discard(key)
            self._changed.discard(key)
        for key, second in self._seconds.items():
            if key[1] < rows:
                second.fold()
                second.rows = None

    def set_back(self, to: int) -> None:
        """Note that the clock was set back to a second: those that come again are new ones."""
        self.whole_from = min(self.whole_from, to)

    def _second(self, key: Key) -> _Second:
        if key not in self._seconds:
            self._seconds[key] = _Second()
            if key[1] < self.whole_from:
                self._stale.add(key)
        return self._seconds[key]


def _by_time(key: Key) -> tuple[int, str]:
    return key[1], key[0]


def _sum(parts: Sequence[Sample]) -> Sample:
    first = parts[0]
    return sum_of(first.system, MAIN_GATEWAY, range(first.at, first.at + 1), parts)

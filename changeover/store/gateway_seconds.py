"""Single seconds of all gateways: the newest ones, and what is new of them.

Hundreds of gateways write some hundred rows a second, of ten kilobytes each. So a row is opened
once: whoever follows them knows of each which version it was, and opens those only that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, literal_column, select
from sqlalchemy.orm import Session

from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.store.covering import SECOND
from changeover.store.engine import Store
from changeover.store.samples import COLUMNS, SAMPLED, SampleRow, first_from, sample_of, sum_of

_MEASURED = tuple(name for name in SAMPLED if name != SHADOW)
"""Comparisons become known later, and are read as a whole (`Observer._read_later`)."""
AT_ONCE = 20
"""Seconds that one query reads: of hundreds of gateways these are a hundred megabytes."""

Key = tuple[str, int, str]
"""System, second and gateway: what tells one row from all others."""
Version = tuple[str, int]
_UNKNOWN: Version = ("", 0)


class Versions:
    """Which version of each row is known, and by a digest what it says.

    What was learnt since `begin` counts for good with `commit` only: what was read before a query
    that failed was never handed over, and must be read again.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[Key, Version]] = {}
        self._learnt: dict[Key, Version] = {}

    def begin(self) -> None:
        """Forget what was learnt since the last `commit`."""
        self._learnt = {}

    def commit(self) -> None:
        """Keep what was learnt."""
        for key, version in self._learnt.items():
            self._known.setdefault(key[1], {})[key] = version
        self._learnt = {}

    def has(self, key: Key, version: str) -> bool:
        """Whether a row is known in a version."""
        return self._of(key)[0] == version

    def is_new(self, key: Key, version: str, content: tuple[int, int, str]) -> bool:
        """Learn of a row; return whether it says something else than what was known of it."""
        before, now = self._of(key), (version, hash(content))
        self._learnt[key] = now
        # one that was sent again, as after a kill, is a new version of the same
        return before is _UNKNOWN or before[1] != now[1]

    def _of(self, key: Key) -> Version:
        return self._learnt.get(key) or self._known.get(key[1], {}).get(key, _UNKNOWN)

    def forget(self, before: int) -> None:
        """Forget rows of seconds before one."""
        for at in [at for at in self._known if at < before]:
            del self._known[at]


def recent(
    store: Store, migration: str, *, since: datetime, system: str | None = None,
    seen: Callable[[Sequence[Sample]], None] | None = None,
) -> list[Sample]:
    """Return one sample per system and second since a time, oldest first, over all gateways.

    Args:
        store: The store.
        migration: Name of the migration.
        since: Aware time, rounded down to a whole second.
        system: Of one name only; None: of all.
        seen: Called with the gateways' rows of each system and second.
    """
    names = SAMPLED if system is None else (system,)
    found: list[Sample] = []
    with store.read() as session:
        start = first_from(session, migration, SECOND, int(since.timestamp()), of=names)
        while start is not None:
            span = range(start, start + AT_ONCE)
            found += _summed(session, migration, names, span, seen)
            start = first_from(session, migration, SECOND, start + AT_ONCE, of=names)
    return found


def _summed(
    session: Session, migration: str, names: Sequence[str], span: range,
    seen: Callable[[Sequence[Sample]], None] | None,
) -> Iterator[Sample]:
    """Yield the sums of the gateways' rows; those of one second are opened at a time."""
    query = _rows(COLUMNS, migration, span).where(SampleRow.system.in_(names))
    rows = session.execute(query.order_by(SampleRow.at, SampleRow.system))
    for (at, name), group in groupby(rows, key=lambda row: (row.at, row.system)):
        opened = [sample_of(row) for row in group]
        if seen is not None:
            seen(opened)
        # mostly there is one gateway: nothing to sum
        yield opened[0] if len(opened) == 1 else sum_of(
            name, MAIN_GATEWAY, range(at, at + SECOND), opened)


def versions(
    session: Session, migration: str, span: range, *, but: Collection[str]
) -> dict[Key, str]:
    """Return which version each row of a span of seconds has, without opening any.

    Args:
        session: An open session.
        migration: Name of the migration.
        span: Unix seconds.
        but: Gateways whose rows are left out.
    """
    columns = (SampleRow.system, SampleRow.at, SampleRow.gateway, _version(session))
    query = _rows(columns, migration, span).where(
        SampleRow.system.in_(_MEASURED), SampleRow.gateway.not_in(but))
    return {(system, at, gateway): version
            for system, at, gateway, version in session.execute(query)}


def news(
    session: Session, migration: str, span: range, *, of: Collection[str], known: Versions
) -> list[Sample]:
    """Return the rows of some gateways that are not known as they are; they are known then.

    Args:
        session: An open session.
        migration: Name of the migration.
        span: Unix seconds.
        of: The gateways.
        known: What is known; it learns what was read.
    """
    query = _rows((*COLUMNS, _version(session)), migration, span).where(
        SampleRow.system.in_(_MEASURED), SampleRow.gateway.in_(of))
    return [sample_of(row) for row in session.execute(query)
            if known.is_new((row.system, row.at, row.gateway), row.version,
                            (row.watched, row.listened, row.measured))]


def has_any(session: Session, migration: str, since: int, *, but: Collection[str]) -> bool:
    """Whether there is a second of another gateway from a moment on."""
    query = select(SampleRow.at).where(
        SampleRow.migration == migration, SampleRow.resolution == SECOND, SampleRow.at >= since,
        SampleRow.system.in_(_MEASURED), SampleRow.gateway.not_in(but))
    return session.execute(query.limit(1)).first() is not None


def of_second(session: Session, migration: str, system: str, at: int) -> list[Sample]:
    """Return the rows of all gateways of one system and second."""
    query = _rows(COLUMNS, migration, range(at, at + SECOND)).where(SampleRow.system == system)
    return [sample_of(row) for row in session.execute(query)]


def _rows(columns: Iterable[Any], migration: str, span: range) -> Select[Any]:
    return select(*columns).where(
        SampleRow.migration == migration, SampleRow.resolution == SECOND,
        SampleRow.at >= span.start, SampleRow.at < span.stop)


def _version(session: Session) -> ColumnElement[str]:
    """Return what is another one whenever a row was written anew.

    PostgreSQL notes with each row the transaction that wrote it. On SQLite, where there is one
    gateway and no other reads its rows, the content itself tells.
    """
    if session.get_bind().dialect.name == "postgresql":
        return cast(literal_column("sample.xmin"), Text).label("version")
    return (cast(SampleRow.watched, Text) + cast(SampleRow.listened, Text)
            + cast(SampleRow.measured, Text)).label("version")

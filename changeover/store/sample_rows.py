"""Rows of samples, and which of them count: on a fleet, seconds summed over all gateways.

With hundreds of nodes a second has hundreds of rows, and each row's numbers of users are most of
it. So who judges sums each second over all gateways as soon as it is over (`store.fleet_sums`),
into a row of the gateway `all`. Of such seconds only that row is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    String,
    Text,
    cast,
    delete,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.analysis.window import ALL_GATEWAYS, GATEWAY, SHADOW, Sample, of_gateway
from changeover.domain.routing import System
from changeover.store.base import Base, NameKey
from changeover.store.covering import SECOND
from changeover.store.measured import COMPARED, document, opened
from changeover.store.upserts import replace_in


class SampleRow(Base):
    """What one gateway measured of one system in a second (resolution 1), minute or hour (3600).

    `measured` has the fields of a sample that are not what they are when nothing was measured, so
    a new metric needs no new column. Comparisons have their own: they are added to in place.
    """

    __tablename__ = "sample"
    migration: Mapped[NameKey]
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    resolution: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    gateway: Mapped[NameKey]
    watched: Mapped[int]
    listened: Mapped[int]
    measured: Mapped[dict[str, Any]]
    compared: Mapped[int]
    matched: Mapped[int]
    similarity: Mapped[float]


class FleetSumRow(Base):
    """Which seconds of a migration with gateway nodes are summed over all gateways.

    `main_until` is the end of the main gateway's newest second that is in a minute of all gateways.
    """

    __tablename__ = "fleet_sum"
    migration: Mapped[NameKey]
    since: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[int] = mapped_column(BigInteger)
    main_until: Mapped[int] = mapped_column(BigInteger)


KEY = ("migration", "system", "resolution", "at", "gateway")
"""What makes a row of samples the same row."""
SAMPLED = (str(System.BASELINE), str(System.CANDIDATE), GATEWAY, SHADOW)
"""All names under which there are samples. One by one each is found by the primary key; together
every row of the migration would be looked at."""
SUMMED = (str(System.BASELINE), str(System.CANDIDATE), GATEWAY)
"""Those of which each gateway has rows of its own; comparisons are added to in place."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows are read: those of one resolution in [start, end)."""

    migration: str
    system: str | None  # None: all
    resolution: int
    start: int
    end: int | None = None


Reader = Callable[[Session, Part], list[Sample]]
_COLUMNS = (
    SampleRow.system, SampleRow.resolution, SampleRow.at, SampleRow.gateway, SampleRow.watched,
    SampleRow.listened,
    # as text: this parser takes a third of the driver's time
    cast(SampleRow.measured, Text).label("measured"),
    SampleRow.compared, SampleRow.matched, SampleRow.similarity,
)
"""Plain columns: building ORM objects costs as much again on weeks of minutes."""


def summed_span(session: Session, migration: str) -> range | None:
    """Return the seconds that are summed over all gateways; None where there never was a node."""
    row = session.execute(select(FleetSumRow.since, FleetSumRow.until).where(
        FleetSumRow.migration == migration)).one_or_none()
    return None if row is None else range(row.since, row.until)


def rows_of(session: Session, part: Part) -> list[Sample]:
    """Return the rows of a part that count, oldest first."""
    conditions = counting(session, part.migration, part.resolution)
    query = select_of(_COLUMNS, part).where(*conditions)
    return [_sample(row) for row in session.execute(query)]


def counting(session: Session, migration: str, resolution: int) -> list[ColumnElement[bool]]:
    """Return which rows of a resolution count: each second of a gateway once."""
    span = summed_span(session, migration) if resolution == SECOND else None
    if span is None:
        return []
    return [or_(SampleRow.gateway == ALL_GATEWAYS, SampleRow.at < span.start,
                SampleRow.at >= span.stop, SampleRow.system == SHADOW)]


def rows_of_gateways(
    session: Session, migration: str, span: range, gateways: Sequence[str] | None = None
) -> list[Sample]:
    """Return the seconds of a span that gateways sent themselves, summed up or not.

    Args:
        session: The session.
        migration: Name of the migration.
        span: Unix seconds.
        gateways: Names of some gateways; None for each.
    """
    query = select(*_COLUMNS).where(*_sent(migration, span))
    if gateways is not None:
        query = query.where(SampleRow.gateway.in_(gateways))
    return [_sample(row) for row in session.execute(query)]


def take_away(session: Session, migration: str, span: range) -> list[Sample]:
    """Delete the seconds of a span that gateways sent themselves, and return what was deleted.

    What is sent meanwhile is either among them or stays: it is never lost in between.
    """
    statement = delete(SampleRow).where(*_sent(migration, span)).returning(*_COLUMNS)
    return [_sample(row) for row in session.execute(
        statement, execution_options={"synchronize_session": False})]


def _sent(migration: str, span: range) -> list[ColumnElement[bool]]:
    part = Part(migration, None, SECOND, span.start, span.stop)
    return [*_conditions(part, SUMMED), SampleRow.gateway != ALL_GATEWAYS]


def read_rows(
    session: Session, migration: str, system: str | None, resolution: int, *, span: range
) -> list[Sample]:
    """Return a system's rows, or all, of one resolution that began in a span, oldest first."""
    return rows_of(session, Part(migration, system, resolution, span.start, span.stop))


def compared_rows(session: Session, part: Part) -> list[Sample]:
    """Return rows of comparisons with nothing but their sums: days of them in milliseconds."""
    columns = (SampleRow.at, SampleRow.compared, SampleRow.matched, SampleRow.similarity)
    return [
        Sample(SHADOW, at, part.resolution, compared=compared, matched=matched,
               similarity=similarity)
        for at, compared, matched, similarity in session.execute(select_of(columns, part))
    ]


def arrived_rows(session: Session, part: Part) -> list[Sample]:
    """Return rows of the gateway as they stand in a system's window."""
    return [of_gateway(row) for row in rows_of(session, part)]


def select_of(columns: Sequence[Any], part: Part) -> Select[Any]:
    """Return the statement for some columns of a part's rows, oldest first."""
    # all of them are named, too: without, every row of the migration would be looked at
    names = SAMPLED if part.system is None else (part.system,)
    return select(*columns).where(*_conditions(part, names)).order_by(SampleRow.at)


def _conditions(part: Part, names: Sequence[str]) -> list[ColumnElement[bool]]:
    conditions = [
        SampleRow.migration == part.migration, SampleRow.resolution == part.resolution,
        SampleRow.at >= part.start, SampleRow.system.in_(names),
    ]
    if part.end is not None:
        conditions.append(SampleRow.at < part.end)
    return conditions


def _sample(row: Row[Any]) -> Sample:
    return Sample(
        row.system, row.at, row.resolution, row.gateway, row.watched, row.listened,
        compared=row.compared, matched=row.matched, similarity=row.similarity,
        **opened(orjson.loads(row.measured)),
    )


def write_in(session: Session, migration: str, samples: Sequence[Sample]) -> None:
    """Keep samples in the caller's transaction; those that were written before are replaced."""
    values = [values_of(migration, sample) for sample in samples]
    replace_in(session, SampleRow, values, KEY)


def values_of(migration: str, sample: Sample) -> dict[str, Any]:
    """Return a sample as a row."""
    return {
        "migration": migration,
        "system": sample.system,
        "resolution": sample.resolution,
        "at": sample.at,
        "gateway": sample.gateway,
        # a row says how much of it was watched; None means all of it
        "watched": sample.resolution if sample.watched is None else sample.watched,
        "listened": sample.listened or 0,
        "measured": document(sample),
        **{name: getattr(sample, name) for name in COMPARED},
    }

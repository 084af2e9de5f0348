"""Months of measurements as columns of numbers, quickly: one number of each row and question.

Whole rows of weeks would be gigabytes of objects. What needs them reads few of them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Text, cast, func, select

from changeover import clock
from changeover.analysis.window import Sample
from changeover.store import outcomes
from changeover.store.covering import MINUTE, SECOND
from changeover.store.engine import Store
from changeover.store.outcomes import OutcomeSumRow, one_resolution
from changeover.store.samples import SampleRow, first_from, read_rows

Reals = NDArray[np.float64]
Numbers = NDArray[np.int64]
Column = Callable[[Mapping[str, Any]], float]
"""Reads one number from a row: its fields by name, those left out that are as of nothing."""
ROWS_AT_ONCE = 20_000
"""Rows that are in memory at a time: months have millions."""
_USERS = '"users": {'


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows: those of a system and resolution that began in a span of Unix seconds."""

    system: str
    resolution: int
    span: range


def oldest(store: Store, migration: str, resolution: int | None = None) -> datetime | None:
    """Return from when on measurements are kept; None without any.

    Args:
        store: The store.
        migration: Name of the migration.
        resolution: Seconds (1) or minutes (60) only; None: either.
    """
    # an hour may begin before the first minute that it holds
    sizes = (SECOND, MINUTE) if resolution is None else (resolution,)
    with store.read() as session:
        found = [first_from(session, migration, size, 0) for size in sizes]
    starts = [each for each in found if each is not None]
    return clock.from_timestamp(min(starts)) if starts else None


def newest(store: Store, migration: str) -> datetime | None:
    """Return the start of the newest measurement; None without any."""
    query = select(func.max(SampleRow.at)).where(SampleRow.migration == migration)
    with store.read() as session:
        last = session.scalar(query)
    return None if last is None else clock.from_timestamp(last)


def columns(
    store: Store, migration: str, part: Part, wanted: Sequence[Column]
) -> tuple[Numbers, Reals]:
    """Return when each row began, and the wanted numbers, shape (wanted, rows).

    Args:
        store: The store.
        migration: Name of the migration.
        part: Which rows.
        wanted: What is read of each.
    """
    # as text, whatever the database: this parser is the fastest there is
    query = select(
        SampleRow.at, SampleRow.watched, SampleRow.compared, SampleRow.matched,
        SampleRow.similarity, cast(SampleRow.measured, Text),
    ).where(
        SampleRow.migration == migration, SampleRow.system == part.system,
        SampleRow.resolution == part.resolution, SampleRow.at >= part.span.start,
        SampleRow.at < part.span.stop).order_by(SampleRow.at)
    times: list[int] = []
    values: list[list[float]] = [[] for _ in wanted]
    readers = list(zip(wanted, values, strict=True))
    with store.read() as session:
        # rows come in parts, and as plain tuples: objects of a month would be gigabytes
        found = session.connection().execution_options(yield_per=ROWS_AT_ONCE).execute(query)
        for at, watched, compared, matched, similarity, text in found:
            row = orjson.loads(_without_users(text))
            row["watched"] = watched
            # left out where nothing was compared, as all fields are that say nothing
            if compared:
                row |= {"compared": compared, "matched": matched, "similarity": similarity}
            times.append(at)
            for read, column in readers:
                column.append(read(row))
    return np.array(times, np.int64), np.array(values, np.float64).reshape(len(wanted), -1)


def _without_users(text: str) -> str:
    """Return a row's JSON without the numbers of its users, which are most of it.

    They are lists by kind in one object, so that it ends with the first brace.
    """
    start = text.find(_USERS)
    if start < 0:
        return text
    return f'{text[:start]}"users": null{text[text.index("}", start) + 1:]}'


def rows(store: Store, migration: str, part: Part) -> list[Sample]:
    """Return whole rows, oldest first."""
    with store.read() as session:
        return read_rows(session, migration, part.system, part.resolution, span=part.span)


def outcome_columns(
    store: Store, migration: str, part: Part, segment: str | None
) -> tuple[Numbers, Reals]:
    """Return when each sum of outcomes began, with how many there were and how many failed."""
    query = select(OutcomeSumRow.at, OutcomeSumRow.outcomes, OutcomeSumRow.failures).where(
        *one_resolution(migration, part.system, segment, part.resolution),
        OutcomeSumRow.at >= part.span.start, OutcomeSumRow.at < part.span.stop,
    ).order_by(OutcomeSumRow.at)
    with store.read() as session:
        found = np.array([tuple(row) for row in session.execute(query)], np.int64)
    # an empty array has no columns by itself
    found = found.reshape(-1, 3)
    return found[:, 0], found[:, 1:].T.astype(np.float64)


def outcome_rows(
    store: Store, migration: str, part: Part, segment: str | None
) -> list[Sample]:
    """Return whole sums of outcomes, oldest first."""
    with store.read() as session:
        return outcomes.read_rows(
            session, migration, part.system, segment, resolution=part.resolution, span=part.span)

"""How long users saw errors in weeks of minutes: the database adds up, nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from changeover.domain.routing import System
from changeover.store.covering import MINUTE
from changeover.store.engine import Store
from changeover.store.samples import SampleRow


@dataclass(frozen=True, slots=True)
class FailingMinutes:
    """Minutes in which a user saw an error, and those in which no request was answered well."""

    with_errors: int
    down: int


def failing_minutes(
    store: Store, migration: str, *, start: datetime, end: datetime
) -> FailingMinutes:
    """Return how many minutes that began in [start, end) had errors of users, of both systems."""
    requests, errors = func.sum(_number("requests")), func.sum(_number("user_errors"))
    minutes = select(requests.label("requests"), errors.label("errors")).where(
        SampleRow.migration == migration, SampleRow.resolution == MINUTE,
        SampleRow.system.in_([str(system) for system in System]),
        SampleRow.at >= int(start.timestamp()), SampleRow.at < int(end.timestamp()),
    ).group_by(SampleRow.at).having(errors > 0).subquery()
    # requests came and every one of them failed for its user
    is_down = case((minutes.c.requests <= minutes.c.errors, 1), else_=0)
    query = select(func.count(), func.coalesce(func.sum(is_down), 0)).select_from(minutes)
    with store.read() as session:
        found = session.execute(query).one()
    return FailingMinutes(int(found[0]), int(found[1]))


def _number(name: str) -> ColumnElement[Any]:
    """Return a count of a row; what was not counted stands in no row."""
    return func.coalesce(SampleRow.measured[name].as_integer(), 0)

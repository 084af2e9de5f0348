"""Deleting what is old, a part in each transaction, so that nobody else waits for long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, delete, select
from sqlalchemy.orm import InstrumentedAttribute

from changeover.store.engine import Store

MOST_PARTS = 20
"""Parts that are deleted at once; the rest is left to the next time."""


def delete_oldest(
    store: Store, row: type[Any], at: InstrumentedAttribute[Any],
    conditions: Sequence[ColumnElement[bool]], *, most: int,
) -> int:
    """Delete rows from the oldest on; return how many.

    Which ones is read before each transaction, not in it.

    Args:
        store: The store.
        row: The rows' class.
        at: Its column that says how old a row is.
        conditions: Which rows are deleted.
        most: How many in one transaction, besides those of the very same moment.
    """
    gone = 0
    for _ in range(MOST_PARTS):
        # a transaction that searches would keep others waiting for the search, too
        with store.read() as session:
            found = session.scalars(select(at).where(*conditions).order_by(at).limit(most)).all()
        if not found:
            break
        with store.begin(is_durable=False) as session:
            done = session.execute(
                # rows of the very same moment go along: PostgreSQL knows no DELETE with a LIMIT
                delete(row).where(*conditions, at <= found[-1])
                # this session has read none of these rows: there are no objects to bring up to date
                .execution_options(synchronize_session=False))
            gone += done.rowcount if isinstance(done, CursorResult) else 0
        # fewer than asked for: there is nothing older left
        if len(found) < most:
            break
    return gone

"""Adding outcomes to slices of bucket sums, in the transaction that makes them count."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.analysis.sequential.reported import Counting
from changeover.analysis.sequential.slices import Slice, merged, pack, unpack
from changeover.domain.outcomes import Reported
from changeover.store import routing
from changeover.store.routing import RoutingRow
from changeover.store.slices import KEY, SliceRow
from changeover.store.upserts import upsert_of

SECONDS = 60
SHORTER = ((60, 2), (600, 10))
"""(seconds after a change of routing, length of slices until then): stages may soak for seconds
only, and a slice is in a stage as a whole or not at all."""


def add(
    session: Session, migration: str, new: Iterable[Reported], counting: Counting,
    *, now: datetime,
) -> None:
    """Add outcomes to the sums of their buckets, in the caller's transaction.

    Args:
        session: The transaction in which the outcomes are saved, so that each counts once.
        migration: Name of the migration.
        new: Outcomes that were not known before.
        counting: How they are counted.
        now: The present moment: what they count for.
    """
    state = routing.read_in(session, migration)
    found = counting.slice_of(new, state, at=int(now.timestamp()))
    if found is not None:
        changed_at = session.scalar(
            select(RoutingRow.changed_at).where(RoutingRow.migration == migration))
        since = math.ceil(changed_at.timestamp()) if changed_at else 0
        _merge(session, migration, _placed(found, since))


def _placed(found: Slice, since: int) -> Slice:
    """Return a second's sums with the start of the slice that they belong to.

    Every console finds the same start, from the second and the last change of routing alone.
    """
    age = found.start - since
    length = next((each for until, each in SHORTER if age < until), SECONDS)
    start = max(found.start // length * length, since)
    return replace(found, start=start, end=max(found.end, start + 1))


def _merge(session: Session, migration: str, one: Slice) -> None:
    """Add sums to a slice that several consoles may add to."""
    key = {"migration": migration, "gateway": one.gateway, "weight": one.weight,
           "start": one.start}
    blank = {**key, "end": one.end, "sums": pack({}), "excluded": {}}
    session.execute(
        upsert_of(session)(SliceRow).values(blank).on_conflict_do_nothing(index_elements=KEY))
    row = session.scalars(select(SliceRow).filter_by(**key).with_for_update()).one()
    known = Slice(row.weight, row.start, row.end, unpack(row.sums), row.excluded, row.gateway)
    total = merged([known, one])
    row.end, row.sums, row.excluded = total.end, pack(total.sums), dict(total.excluded)

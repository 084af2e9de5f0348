"""How often single places differ: for the gates and triggers that name one, and only for those.

The counts of a path are of comparisons: all there were, and those that differ at the path, above
it, or below it. Both stand in the same row, so what was compared before a gate named the path
counts as nothing at all, never as equal.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.comparisons import PlaceCount
from changeover.plan.paths import is_in_body, is_touched, one_place, parse_pattern, parse_place
from changeover.store.base import Base, NameKey
from changeover.store.engine import Store
from changeover.store.plans import MigrationRow
from changeover.store.upserts import add_in


class DivergenceCountRow(Base):
    """How many comparisons of ten seconds there were, and diverged at a place that a gate names.

    `field_hash` is sha256 of the path, as the gate or trigger writes it.
    """

    __tablename__ = "divergence_count"
    migration: Mapped[NameKey]
    field_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    diverged: Mapped[int]
    compared: Mapped[int] = mapped_column(Integer, server_default="0")


STEP = 10
"""Seconds that counts are summed over."""
NO_ANSWER = "answer"
"""The place of answers that did not come: all paths are lost with them."""


def add(
    session: Session, migration: str, batch: Iterable[tuple[int, Collection[str]]]
) -> None:
    """Count comparisons, (second, places that differ), for each path of the migration's plan."""
    # mostly no gate names a path, and then nothing is counted
    watched = _watched(session, migration)
    if not watched:
        return
    compared: Counter[tuple[str, int]] = Counter()
    diverged: Counter[tuple[str, int]] = Counter()
    for second, places in batch:
        at = step_of(second)
        # `$` and `answer` are no places in a body; the latter is asked for below
        steps = [parse_place(place) for place in places if is_in_body(place)]
        for path, wanted in watched.items():
            compared[path, at] += 1
            is_lost = NO_ANSWER in places
            diverged[path, at] += is_lost or any(is_touched(wanted, place) for place in steps)
    values = []
    for (path, at), number in compared.items():
        values.append({
            "migration": migration, "field_hash": hash_of(path), "at": at,
            "compared": number, "diverged": diverged[path, at],
        })
    key = ("migration", "field_hash", "at")
    numbers = ("compared", "diverged")
    add_in(session, DivergenceCountRow, values, key=key, numbers=numbers)


def count(
    store: Store, migration: str, place: str, *, start: datetime, end: datetime
) -> PlaceCount:
    """Return what was compared in [start, end) and differs at a place.

    Args:
        store: The store.
        migration: Name of the migration.
        place: Path of a gate or trigger, as `$.items[*].price`.
        start: Aware time, rounded down to ten seconds, since those are what is counted.
        end: Aware time, rounded up.
    """
    query = select(
        func.coalesce(func.sum(DivergenceCountRow.compared), 0),
        func.coalesce(func.sum(DivergenceCountRow.diverged), 0),
    ).where(
        DivergenceCountRow.migration == migration, DivergenceCountRow.field_hash == hash_of(place),
        DivergenceCountRow.at >= step_of(int(start.timestamp())),
        DivergenceCountRow.at < end.timestamp(),
    )
    with store.read() as session:
        compared, diverged = session.execute(query).one()
    return PlaceCount(int(compared), int(diverged))


def since(
    store: Store, migration: str, places: Iterable[str], *, start: datetime
) -> dict[str, dict[int, PlaceCount]]:
    """Return, by place, the counts of each step of ten seconds since a time."""
    names = {hash_of(place): place for place in places}
    query = select(
        DivergenceCountRow.field_hash, DivergenceCountRow.at, DivergenceCountRow.compared,
        DivergenceCountRow.diverged,
    ).where(
        DivergenceCountRow.migration == migration, DivergenceCountRow.field_hash.in_(names),
        DivergenceCountRow.at >= step_of(int(start.timestamp())),
    )
    found: dict[str, dict[int, PlaceCount]] = {place: {} for place in names.values()}
    with store.read() as session:
        for key, at, compared, diverged in session.execute(query):
            found[names[key]][at] = PlaceCount(compared, diverged)
    return found


def step_of(second: int) -> int:
    """Return the start of the ten seconds that a second is counted with."""
    return second // STEP * STEP


def hash_of(place: str) -> str:
    """Return the key of a place, however long it is."""
    # paths may be longer than an index takes, and may hold halves of surrogate pairs
    return hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()


def _watched(session: Session, migration: str) -> dict[str, tuple[Any, ...]]:
    """Return the paths that the plan's gates and triggers name, with their steps.

    Read with each batch: a plan that is registered while the shadow service runs counts at once.
    """
    plan = session.scalar(select(MigrationRow.plan).where(MigrationRow.name == migration)) or {}
    # from the stored JSON: building the whole plan would cost more than the counting
    checks = list(plan.get("triggers", ()))
    for gate in plan.get("gates", {}).values():
        checks += gate
    paths = {one_place(check["path"]) for check in checks if check.get("path")}
    return {path: tuple(step.token for step in parse_pattern(path)) for path in paths}

"""Counting comparisons among the samples: they become known after their seconds were summed up."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample
from changeover.store.covering import HOUR, MINUTE
from changeover.store.measured import COMPARED
from changeover.store.samples import KEY, SampleRow, summed_up_until, values_of
from changeover.store.upserts import add_in


def add_compared_in(
    session: Session, migration: str, compared: Iterable[tuple[int, bool, float]], *,
    gateway: str = MAIN_GATEWAY,
) -> None:
    """Add comparisons to the seconds that they count for, and to what is summed up already.

    Args:
        session: An open write transaction.
        migration: Name of the migration.
        compared: Unix second, whether the answers match, their similarity 0..1.
        gateway: Of which gateway the requests were.
    """
    summed_up = {size: summed_up_until(session, migration, size) for size in (MINUTE, HOUR)}
    sums: dict[tuple[int, int], list[float]] = {}
    for at, is_match, similarity in compared:
        keys = [(1, at)]
        for size, until in summed_up.items():
            # summed up already and not read again: it must be added to as well
            if at < until:
                keys.append((size, at // size * size))
        for key in keys:
            known = sums.setdefault(key, [0, 0, 0.0])
            known[0] += 1
            known[1] += is_match
            known[2] += similarity
    values = []
    for (resolution, at), (number, matched, similarity) in sums.items():
        sample = Sample(
            SHADOW, at, resolution, gateway, compared=int(number),
            matched=int(matched), similarity=similarity)
        values.append(values_of(migration, sample))
    add_in(session, SampleRow, values, key=KEY, numbers=COMPARED)

"""At which places the answers differ, and how often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.comparisons import FURTHER, LONGEST_PLACE, Compared, Example, Place
from changeover.domain.storable import storable
from changeover.store.base import Base, NameKey
from changeover.store.engine import Store
from changeover.store.place_counts import NO_ANSWER, hash_of
from changeover.store.upserts import chunks


class DivergenceRow(Base):
    """How often the answers differ at one place, since the rules were last changed.

    `field_hash` is sha256 of the normalised path; `counts` has the number of each kind.
    """

    __tablename__ = "divergence"
    migration: Mapped[NameKey]
    field_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    field: Mapped[str]
    diverged: Mapped[int]
    ignored: Mapped[int]
    only_candidate: Mapped[int]
    only_baseline: Mapped[int]
    both: Mapped[int]
    counts: Mapped[dict[str, Any]]
    examples: Mapped[list[dict[str, Any]]]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]


MOST_EXAMPLES = 3
MOST_FIELDS = 2_000
"""Places that are counted separately; what goes beyond is counted under `(further places)`."""


def places(store: Store, migration: str) -> list[Place]:
    """Return every place that differs, the most frequent first."""
    query = (
        select(DivergenceRow).where(DivergenceRow.migration == migration)
        .order_by(DivergenceRow.diverged.desc(), DivergenceRow.field)
    )
    with store.read() as session:
        return [_place(row) for row in session.scalars(query)]


def _place(row: DivergenceRow) -> Place:
    return Place(
        row.field, row.diverged, row.ignored, row.only_candidate, row.only_baseline, row.both,
        {kind: int(number) for kind, number in row.counts.items()}, list(row.examples),
        row.first_seen, row.last_seen,
    )


def count_in(
    session: Session, migration: str, batch: Sequence[Compared], *, sign: Literal[1, -1] = 1
) -> None:
    """Add to what is known of each place, or take from it.

    The rows are few, so they are read and written.
    """
    touched: dict[str, list[Compared]] = defaultdict(list)
    for one in batch:
        for place in {*one.found, *one.ignored, *(one.noisy or ())}:
            touched[place].append(one)
    if not touched:
        return
    known = _known_places(session, migration, touched)
    # what is taken away makes no new place
    room = 0 if sign < 0 else MOST_FIELDS - int(session.scalar(
        select(func.count()).where(DivergenceRow.migration == migration)) or 0)
    # by identity: two comparisons that are equal are still two
    beyond: dict[int, tuple[Compared, list[str]]] = {}
    for place, found in touched.items():
        row = known.get(hash_of(place))
        if row is None and room > 0:
            room -= 1
            row = _new_place(session, migration, place, found)
        if row is not None:
            _count_at(row, place, found, sign)
            continue
        for one in found:
            beyond.setdefault(id(one), (one, []))[1].append(place)
    # a comparison counts once there, at however many further places it differs
    if beyond:
        folded = [_folded(one, places) for one, places in beyond.values()]
        row = session.get(
            DivergenceRow, (migration, hash_of(FURTHER)), with_for_update=True)
        if row is not None or sign > 0:
            row = row or _new_place(session, migration, FURTHER, folded)
            _count_at(row, FURTHER, folded, sign)


def _known_places(
    session: Session, migration: str, names: Iterable[str]
) -> dict[str, DivergenceRow]:
    """Return the rows of places, by their hash, for nobody else to change."""
    known = {}
    for part in chunks([hash_of(name) for name in names]):
        query = select(DivergenceRow).where(
            DivergenceRow.migration == migration, DivergenceRow.field_hash.in_(part)
        ).order_by(DivergenceRow.field_hash).with_for_update()  # what is read is written, too
        known.update({row.field_hash: row for row in session.scalars(query)})
    return known


def _folded(one: Compared, places: Sequence[str]) -> Compared:
    """Return a comparison that differs at most once, at `FURTHER`, instead of at `places`."""
    example = next((one.found[place] for place in places if place in one.found), None)
    noisy = one.noisy
    if noisy is not None:  # None: the baseline was not asked twice; an empty set: it said the same
        noisy = _further_if(noisy, places)
    return replace(
        one, found={FURTHER: example} if example else {},
        ignored=_further_if(one.ignored, places), noisy=noisy)


def _further_if(found: frozenset[str], places: Sequence[str]) -> frozenset[str]:
    return frozenset({FURTHER}) if found.intersection(places) else frozenset()


def _new_place(
    session: Session, migration: str, place: str, found: list[Compared]
) -> DivergenceRow:
    row = DivergenceRow(
        migration=migration, field_hash=hash_of(place), field=storable(place)[:LONGEST_PLACE],
        diverged=0, ignored=0, only_candidate=0, only_baseline=0, both=0, counts={}, examples=[],
        first_seen=min(one.at for one in found), last_seen=found[-1].at,
    )
    session.add(row)
    return row


def _count_at(
    row: DivergenceRow, place: str, found: Sequence[Compared], sign: Literal[1, -1]
) -> None:
    differing = [one for one in found if place in one.found]
    numbers = Counter(ignored=sum(place in one.ignored for one in found), diverged=len(differing))
    for one in found:
        if _tells(one, place):
            numbers[_PAIRS[place in one.found, place in (one.noisy or ())]] += 1
    for name, number in numbers.items():
        if name:  # "" is a pair that differs on neither side
            # never below 0: what is taken away may have been counted as a further place
            setattr(row, name, max(0, getattr(row, name) + sign * number))
    kinds = Counter(row.counts)
    for one in differing:
        kinds[one.found[place].kind] += sign
    # assigned anew, not changed in place: SQLAlchemy does not see inside JSON
    row.counts = {kind: number for kind, number in kinds.items() if number > 0}
    row.examples = _examples_after(row.examples, place, differing, sign)
    row.last_seen = max(row.last_seen, *(one.at for one in found))


_PAIRS = {(True, False): "only_candidate", (False, True): "only_baseline", (True, True): "both",
          (False, False): ""}
"""What is counted of a pair: whether the candidate differs, whether the baseline from itself."""


def _tells(one: Compared, place: str) -> bool:
    """Whether a pair says something about a place.

    Where one of the three answers is missing, it says nothing about what would stand in it; where a
    whole body is another one or unreadable (`$`), nothing about the places below.
    """
    if one.noisy is None:
        return False
    if NO_ANSWER in one.found or NO_ANSWER in one.noisy:
        return place == NO_ANSWER
    return not place.startswith(("$.", "$[")) or not ("$" in one.found or "$" in one.noisy)


def _examples_after(
    examples: Sequence[dict[str, Any]], place: str, differing: Sequence[Compared],
    sign: Literal[1, -1],
) -> list[dict[str, Any]]:
    """Return a place's examples with those of further comparisons, or without them."""
    if sign < 0:
        # an example has no id: its time and request say which comparison it was of
        gone = {(one.at.isoformat(), storable(one.request)) for one in differing}
        return [one for one in examples if (one["at"], one["request"]) not in gone]
    room = max(0, MOST_EXAMPLES - len(examples))
    return [*examples, *(_example(one.at, one.found[place]) for one in differing[:room])]


def _example(at: datetime, one: Example) -> dict[str, Any]:
    sides = {"baseline": one.baseline, "candidate": one.candidate}
    return {
        "at": at.isoformat(), "request": storable(one.request),
        "path": storable(one.path)[:LONGEST_PLACE], "kind": one.kind,
        **{side: None if value is None else storable(value) for side, value in sides.items()},
    }

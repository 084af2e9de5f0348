"""Comparisons of both systems' answers: rows, what differs by place, coverage, retention."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import CursorResult, Table, delete, func, insert, select, update
from sqlalchemy.orm import Session

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import MAIN_GATEWAY, SHADOW
from changeover.store import place_counts, samples
from changeover.store.engine import Store, chunks, upsert_of
from changeover.store.place_counts import hash_of
from changeover.store.samples import MINUTE
from changeover.store.tables import ComparisonRow, CoverageRow, DivergenceRow, SampleRow
from changeover.store.text import storable

MOST_EXAMPLES = 3
MOST_FIELDS = 2_000
"""Places that are told apart; what goes beyond is counted under `(further places)`."""
FURTHER = "(further places)"
LONGEST_PLACE = 500
"""Characters of a place that are shown; longer ones are told apart by their hash all the same."""
_TABLE = cast(Table, ComparisonRow.__table__)


@dataclass(frozen=True, slots=True)
class Example:
    """A divergence as it was seen: in which request, where, both values cut."""

    request: str
    path: str
    kind: str
    baseline: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison on its way into the store.

    `found` maps each place that differs to an example; `ignored` are places that rules hide.
    `noisy` are the places at which the baseline's second answer differed; None when it was not
    asked twice. `answers` has both, masked, or None when they are not kept. `omitted` counts
    divergences that were too many to be told: any place may be among them.
    """

    at: datetime
    request: str
    request_id: str
    similarity: float
    is_match: bool
    baseline_seconds: float
    candidate_seconds: float
    found: Mapping[str, Example] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    noisy: frozenset[str] | None = None
    error: str = ""
    answers: bytes | None = None
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Rescored:
    """A kept comparison (`key` is its id): what was counted of it, and what counts from now on."""

    key: int
    before: Compared
    after: Compared


@dataclass(frozen=True, slots=True)
class Place:
    """How often the answers differ at one place (`field`, a normalised path)."""

    field: str
    diverged: int
    ignored: int
    only_candidate: int
    only_baseline: int
    both: int
    counts: dict[str, int]
    examples: list[dict[str, Any]]
    first_seen: datetime
    last_seen: datetime


def write(
    store: Store, migration: str, batch: Sequence[Compared], coverage: Mapping[str, int], *,
    now: datetime | None = None,
) -> None:
    """Keep comparisons with everything that is counted of them, in one transaction.

    Args:
        store: The store.
        migration: Name of the migration.
        batch: The comparisons; each is written once.
        coverage: How many tapped requests had which outcome since the last call.
        now: The time for which gates and triggers count them: the one at which they are known. A
            candidate that hangs is known minutes after the requests came, when those minutes have
            been summed up and looked at. None counts each for the time of its request.
    """
    with store.begin(is_durable=False) as session:
        if batch:
            # into the table: into its class costs half as much again
            session.connection().execute(
                insert(_TABLE), [_row(migration, one) for one in batch])
            times = [int((now or one.at).timestamp()) for one in batch]
            _add_samples(session, migration, batch, times)
            _count_places(session, migration, batch)
            place_counts.add(session, migration, [
                (at, {*one.found, "$"} if one.omitted else one.found.keys())
                for at, one in zip(times, batch, strict=True)])
        _add_coverage(session, migration, batch, coverage)


def places(store: Store, migration: str) -> list[Place]:
    """Return every place that differs, the most frequent first."""
    query = (
        select(DivergenceRow).where(DivergenceRow.migration == migration)
        .order_by(DivergenceRow.diverged.desc(), DivergenceRow.field)
    )
    with store.read() as session:
        return [_place(row) for row in session.scalars(query)]


def coverage(store: Store, migration: str) -> dict[str, int]:
    """Return how many tapped requests had which outcome: compared, paired, dropped and why."""
    query = select(CoverageRow).where(CoverageRow.migration == migration)
    with store.read() as session:
        return {row.outcome: row.number for row in session.scalars(query)}


def latencies(store: Store, migration: str, *, most: int = 10_000) -> list[tuple[float, float]]:
    """Return (baseline, candidate) seconds of the newest comparisons that got both answers."""
    query = (
        select(ComparisonRow.baseline_seconds, ComparisonRow.candidate_seconds)
        .where(ComparisonRow.migration == migration, ComparisonRow.error == "")
        .order_by(ComparisonRow.id.desc()).limit(most)
    )
    with store.read() as session:
        return [(row[0], row[1]) for row in session.execute(query)]


def newest(store: Store, migration: str) -> int:
    """Return the id of the newest comparison, 0 before the first."""
    query = select(func.max(ComparisonRow.id)).where(ComparisonRow.migration == migration)
    with store.read() as session:
        return session.scalar(query) or 0


def kept_answers(
    store: Store, migration: str, *, after: int = 0, until: int | None = None, most: int = 500
) -> list[tuple[int, Compared]]:
    """Return comparisons that still have their answers, oldest first, with their ids.

    Args:
        store: The store.
        migration: Name of the migration.
        after: Only ids above this one.
        until: None above this one.
        most: Most of them.
    """
    query = (
        select(ComparisonRow)
        .where(ComparisonRow.migration == migration, ComparisonRow.id > after,
               ComparisonRow.answers.is_not(None))
        .order_by(ComparisonRow.id).limit(most)
    )
    if until is not None:
        query = query.where(ComparisonRow.id <= until)
    with store.read() as session:
        return [(row.id, _compared(row)) for row in session.scalars(query)]


def replace_scores(store: Store, migration: str, batch: Sequence[Rescored]) -> int:
    """Replace the verdicts of comparisons, and what was counted of them by what counts now.

    Each comparison is replaced with its counts in one transaction, or not at all: when its answers
    are no longer those that were judged, somebody else has dropped them or scored them again.
    What gates read stays as it was measured.

    Returns:
        How many were replaced.
    """
    with store.begin(is_durable=False) as session:
        done = [each for each in batch if _replace(session, each)]
        _count_places(session, migration, [each.before for each in done], sign=-1)
        _count_places(session, migration, [each.after for each in done])
        session.flush()
        session.execute(delete(DivergenceRow).where(
            DivergenceRow.migration == migration,
            *(column == 0 for column in (
                DivergenceRow.diverged, DivergenceRow.ignored, DivergenceRow.only_candidate,
                DivergenceRow.only_baseline, DivergenceRow.both))))
        matched = sum(each.after.is_match - each.before.is_match for each in done)
        _add_coverage(session, migration, [], {"matched": matched})
    return len(done)


def _replace(session: Session, each: Rescored) -> bool:
    one = each.after
    done = session.execute(update(ComparisonRow).where(
        ComparisonRow.id == each.key, ComparisonRow.answers == each.before.answers,
    ).values(
        similarity=one.similarity, is_match=one.is_match, divergences=len(one.found),
        ignored=len(one.ignored), answers=one.answers,
    ))
    return isinstance(done, CursorResult) and done.rowcount == 1


def _row(migration: str, one: Compared) -> dict[str, Any]:
    return {
        "migration": migration, "at": one.at, "request": storable(one.request),
        "request_id": storable(one.request_id)[:64], "similarity": one.similarity,
        "is_match": one.is_match, "divergences": len(one.found), "ignored": len(one.ignored),
        "baseline_seconds": one.baseline_seconds, "candidate_seconds": one.candidate_seconds,
        "error": storable(one.error), "answers": one.answers,
    }


def _compared(row: ComparisonRow) -> Compared:
    return Compared(
        row.at, row.request, row.request_id, row.similarity, row.is_match, row.baseline_seconds,
        row.candidate_seconds, error=row.error, answers=row.answers,
    )


def _place(row: DivergenceRow) -> Place:
    return Place(
        row.field, row.diverged, row.ignored, row.only_candidate, row.only_baseline, row.both,
        {kind: int(number) for kind, number in row.counts.items()}, list(row.examples),
        row.first_seen, row.last_seen,
    )


def _add_samples(
    session: Session, migration: str, batch: Sequence[Compared], times: Sequence[int]
) -> None:
    """Add to the seconds that they count for, and to the minutes that are summed up already."""
    summed_up = samples.summed_up_until(session, migration)
    sums: dict[tuple[int, int], list[float]] = {}
    for at, one in zip(times, batch, strict=True):
        for key in ((1, at), *([(MINUTE, at // MINUTE * MINUTE)] if at < summed_up else [])):
            known = sums.setdefault(key, [0, 0, 0.0])
            known[0] += 1
            known[1] += one.is_match
            known[2] += one.similarity
    values = [
        {"migration": migration, "system": SHADOW, "resolution": resolution, "at": at,
         "gateway": MAIN_GATEWAY, "requests": 0, "client_errors": 0, "users": {},
         "user_errors": 0, "errors": {}, "latency": Histogram().encode(),
         "probes": 0, "probes_up": 0,
         "compared": compared, "matched": matched, "similarity": similarity}
        for (resolution, at), (compared, matched, similarity) in sums.items()
    ]
    for part in chunks(values):
        statement = upsert_of(session)(SampleRow).values(part)
        session.execute(statement.on_conflict_do_update(
            index_elements=samples.KEY,
            set_={name: getattr(SampleRow, name) + statement.excluded[name]
                  for name in ("compared", "matched", "similarity")},
        ))


def _count_places(
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
    room = 0 if sign < 0 else MOST_FIELDS - int(session.scalar(
        select(func.count()).where(DivergenceRow.migration == migration)) or 0)
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
    further = frozenset({FURTHER})
    return replace(
        one, found={FURTHER: example} if example else {},
        ignored=further if one.ignored.intersection(places) else frozenset(),
        noisy=None if one.noisy is None
        else further if one.noisy.intersection(places) else frozenset(),
    )


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
        if name:
            setattr(row, name, max(0, getattr(row, name) + sign * number))
    kinds = Counter(row.counts)
    for one in differing:
        kinds[one.found[place].kind] += sign
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
    if "answer" in one.found or "answer" in one.noisy:
        return place == "answer"
    return not place.startswith(("$.", "$[")) or not ("$" in one.found or "$" in one.noisy)


def _examples_after(
    examples: Sequence[dict[str, Any]], place: str, differing: Sequence[Compared],
    sign: Literal[1, -1],
) -> list[dict[str, Any]]:
    """Return a place's examples with those of further comparisons, or without them."""
    if sign < 0:
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


def _add_coverage(
    session: Session, migration: str, batch: Sequence[Compared], outcomes: Mapping[str, int]
) -> None:
    numbers = Counter(outcomes)
    numbers["compared"] += len(batch)
    numbers["matched"] += sum(one.is_match for one in batch)
    numbers["paired"] += sum(one.noisy is not None for one in batch)
    numbers["failed"] += sum(bool(one.error) for one in batch)
    values = [{"migration": migration, "outcome": outcome, "number": number}
              for outcome, number in numbers.items() if number]
    if values:
        statement = upsert_of(session)(CoverageRow).values(values)
        session.execute(statement.on_conflict_do_update(
            index_elements=("migration", "outcome"),
            set_={"number": CoverageRow.number + statement.excluded.number},
        ))

"""Which seconds of which gateway are in a minute's sum: a row for each minute of a system.

It is written in the transaction that writes the sum, by who sums up (`lock_sums`) or who sums up
what came late (`lock_late_sums`). The latter are several, so the row is locked before all else.
Comparisons have none: they are added to seconds, minutes and hours in place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, String, cast, func, literal, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.analysis.minute_seconds import document, opened
from changeover.analysis.window import SHADOW
from changeover.store.base import Base, NameKey
from changeover.store.covering import MINUTE, SECOND
from changeover.store.samples import SAMPLED, SampleRow
from changeover.store.upserts import replace_in, upsert_of

Key = tuple[str, int]
"""A system, and the Unix second at which a minute begins."""
MEASURED = tuple(name for name in SAMPLED if name != SHADOW)
_KEY = ("migration", "system", "at")


class MinuteSecondsRow(Base):
    """Which seconds are in a minute, as `document` has it.

    A minute is closed when its seconds have been deleted, and the minutes of nodes are one.
    """

    __tablename__ = "minute_seconds"
    migration: Mapped[NameKey]
    system: Mapped[str] = mapped_column(String(16), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    gateways: Mapped[dict[str, Any]]
    is_closed: Mapped[bool] = mapped_column(Boolean)


@dataclass
class Known:
    """What is known of a minute: by gateway the mask of what is in it, and whether it is closed."""

    masks: dict[str, int]
    is_closed: bool = False


def present(
    session: Session, migration: str, span: range, *, of: Collection[str] = ()
) -> dict[Key, dict[str, int]]:
    """Return which seconds are stored, by minute and gateway, without opening any.

    Args:
        session: An open session.
        migration: Name of the migration.
        span: Unix seconds.
        of: Of these gateways only; empty: of all.
    """
    minute = (SampleRow.at // MINUTE).label("minute")
    bit = literal(1, BigInteger).op("<<")(cast(SampleRow.at % MINUTE, Integer))
    query = select(SampleRow.system, minute, SampleRow.gateway, func.sum(bit)).where(
        SampleRow.migration == migration, SampleRow.system.in_(MEASURED),
        SampleRow.resolution == SECOND, SampleRow.at >= span.start, SampleRow.at < span.stop,
        *([SampleRow.gateway.in_(of)] if of else []))
    found: dict[Key, dict[str, int]] = defaultdict(dict)
    rows = session.execute(query.group_by(SampleRow.system, minute, SampleRow.gateway))
    for system, number, gateway, mask in rows:
        found[system, int(number) * MINUTE][gateway] = int(mask)
    return found


def locked(session: Session, migration: str, keys: Iterable[Key]) -> dict[Key, Known]:
    """Return what is known of minutes, which nobody else changes until the transaction ends."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    # a row that is not there cannot be locked; in one order, so that none waits for the other
    session.execute(upsert_of(session)(MinuteSecondsRow).values([
        {"migration": migration, "system": system, "at": at, "gateways": {}, "is_closed": False}
        for system, at in wanted]).on_conflict_do_nothing())
    found: dict[Key, Known] = {}
    for system in sorted({system for system, _ in wanted}):
        query = select(MinuteSecondsRow.at, MinuteSecondsRow.gateways, MinuteSecondsRow.is_closed)
        rows = session.execute(query.where(
            MinuteSecondsRow.migration == migration, MinuteSecondsRow.system == system,
            MinuteSecondsRow.at.in_([at for name, at in wanted if name == system]),
        ).order_by(MinuteSecondsRow.at).with_for_update())
        for at, gateways, is_closed in rows:
            found[system, at] = Known(opened(gateways), is_closed)
    return found


def save(session: Session, migration: str, minutes: Mapping[Key, Known]) -> None:
    """Keep what is known of minutes that are locked."""
    if minutes:
        replace_in(session, MinuteSecondsRow, [
            {"migration": migration, "system": system, "at": at,
             "gateways": document(known.masks), "is_closed": known.is_closed}
            for (system, at), known in minutes.items()], _KEY)

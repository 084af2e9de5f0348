"""The last sign of life of each service and flow run; several migrations may share a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from changeover import clock
from changeover.domain.health import Heartbeat, is_forgotten
from changeover.store.base import Base, all_records
from changeover.store.engine import Store
from changeover.store.upserts import replace_in

MOST_CHARACTERS = 80


class HeartbeatRow(Base):
    """The last sign of life of each service."""

    __tablename__ = "heartbeat"
    service: Mapped[str] = mapped_column(String(MOST_CHARACTERS), primary_key=True)
    at: Mapped[datetime]
    pid: Mapped[int]
    detail: Mapped[str]
    machine: Mapped[str] = mapped_column(String(64), default="", server_default="")


def beat(
    store: Store, service: str, *, pid: int, detail: str = "", machine: str = "", now: datetime
) -> None:
    """Note a service's sign of life; `machine` as in `Heartbeat`."""
    # the newest sign is soon replaced: the disk is not waited for
    with store.begin(is_durable=False) as session:
        # two processes may begin at the same moment: the row may be there by now
        sign = {"service": service, "at": now, "pid": pid, "detail": detail,
                "machine": machine}
        replace_in(session, HeartbeatRow, [sign], ("service",))


def beat_again(store: Store, sign: Heartbeat, *, now: datetime) -> bool:
    """Note a process's further sign of life; return False when another one has its place by now.

    A row that is missing is made anew: a database that was restored replaces nobody.
    """
    row = HeartbeatRow
    with store.begin(is_durable=False) as session:
        found: CursorResult[Any] = session.execute(  # type: ignore[assignment]
            update(row).where(
                row.service == sign.service, row.pid == sign.pid, row.detail == sign.detail,
                row.machine == sign.machine,
            ).values(at=now))
        if found.rowcount:
            return True
        if session.get(row, sign.service) is not None:
            return False
        session.add(row(service=sign.service, at=now, pid=sign.pid, detail=sign.detail,
                        machine=sign.machine))
        return True


def forget(store: Store, service: str) -> None:
    """Forget a service that ended as it was asked to: nobody waits for a sign of it."""
    with store.begin(is_durable=False) as session:
        session.execute(delete(HeartbeatRow).where(HeartbeatRow.service == service))


def is_too_long(migration: str, name: str) -> bool:
    """Whether the table has no room for the name of a migration's service."""
    return len(service_of(migration, name)) > MOST_CHARACTERS


def service_of(migration: str, name: str) -> str:
    """Return the name under which a migration's service gives its sign of life."""
    return f"{migration}/{name}"


def of(store: Store, migration: str) -> list[Heartbeat]:
    """Return the last sign of life of each service of a migration, by plain names as `observer`.

    A node that does not compare any more is left out after a day, as a node is that is gone.
    """
    start, now = service_of(migration, ""), clock.now()
    found = [replace(beat, service=beat.service.removeprefix(start))
             for beat in every(store) if beat.service.startswith(start)]
    return [beat for beat in found if not is_forgotten(beat, now)]


def every(store: Store) -> list[Heartbeat]:
    """Return the last sign of life of every service and flow run of all migrations."""
    return all_records(store, Heartbeat, select(HeartbeatRow))


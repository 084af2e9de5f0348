"""The last sign of life of each service and flow run; several migrations may share a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Integer, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.health import Heartbeat
from changeover.store.base import Base, all_records
from changeover.store.engine import Store, upsert_of


class HeartbeatRow(Base):
    """The last sign of life of each service."""

    __tablename__ = "heartbeat"
    service: Mapped[str] = mapped_column(String(80), primary_key=True)
    at: Mapped[datetime]
    pid: Mapped[int] = mapped_column(Integer)
    detail: Mapped[str] = mapped_column(Text)


def beat(store: Store, service: str, *, pid: int, detail: str = "", now: datetime) -> None:
    """Note a service's sign of life."""
    with store.begin(is_durable=False) as session:
        sign = {"at": now, "pid": pid, "detail": detail}  # two may begin at the same moment
        session.execute(upsert_of(session)(HeartbeatRow).values(service=service, **sign)
                        .on_conflict_do_update(index_elements=("service",), set_=sign))


def service_of(migration: str, name: str) -> str:
    """Return the name under which a migration's service gives its sign of life."""
    return f"{migration}/{name}"


def of(store: Store, migration: str) -> list[Heartbeat]:
    """Return the last sign of life of each service of a migration, by plain names as `observer`."""
    start = service_of(migration, "")
    return [replace(beat, service=beat.service.removeprefix(start))
            for beat in every(store) if beat.service.startswith(start)]


def every(store: Store) -> list[Heartbeat]:
    """Return the last sign of life of every service and flow run of all migrations."""
    return all_records(store, Heartbeat, select(HeartbeatRow))


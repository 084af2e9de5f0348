"""Which flow run carries what is not done yet, and how that run ended without doing it.

One row per piece of work (`cutover 7`, `rollback 3`, `retirement 7`), made when a run begins it and
gone when it is done. The run named here is the only one that may carry the work on.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from changeover.domain.audit import NewEvent
from changeover.domain.messages import Message, Severity
from changeover.domain.run_ends import Carrier, End, Ended, what
from changeover.errors import CarriedElsewhere
from changeover.store import audit, messages
from changeover.store.base import Base, NameKey, to_record
from changeover.store.engine import Store


class CarrierRow(Base):
    """A piece of work that is not done; `end` is empty while its flow run carries it."""

    __tablename__ = "carrier"
    migration: Mapped[NameKey]
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    flow: Mapped[str] = mapped_column(String(32))
    flow_run_id: Mapped[str] = mapped_column(String(64))
    since: Mapped[datetime]
    end: Mapped[str] = mapped_column(String(16))
    said: Mapped[str]


def assign_in(session: Session, carrier: Carrier) -> None:
    """Note within the caller's transaction which run carries a piece of work from now on."""
    key = (carrier.migration, carrier.subject)
    row = session.get(CarrierRow, key, with_for_update=True)
    wanted = (carrier.flow_run_id, carrier.flow, "")
    # a run that carries the work already keeps the time at which it took it
    if row is None or (row.flow_run_id, row.flow, row.end) != wanted:
        session.merge(CarrierRow(
            migration=carrier.migration, subject=carrier.subject, flow=carrier.flow,
            flow_run_id=carrier.flow_run_id, since=carrier.since, end="", said=""))


def assign(store: Store, carrier: Carrier) -> None:
    """Note which run carries a piece of work from now on."""
    with store.begin() as session:
        # the chain's head is the lock that all writers of a migration share
        audit.lock(session, carrier.migration)
        assign_in(session, carrier)


def drop_in(session: Session, migration: str, subject: str) -> None:
    """Forget within the caller's transaction who carried what is done."""
    row = session.get(CarrierRow, (migration, subject))
    if row is not None:
        session.delete(row)


def drop(store: Store, migration: str, subject: str, *, flow_run_id: str) -> None:
    """Forget who carried what is done, unless another run has it by now."""
    with store.begin() as session:
        # deleted only by its own run: a run that is late must not end another one's work
        audit.lock(session, migration)
        row = session.get(CarrierRow, (migration, subject))
        if row is not None and row.flow_run_id == flow_run_id:
            session.delete(row)


def of(store: Store, migration: str) -> list[Carrier]:
    """Return what is not done, with the run that carries it, in the order of the subjects."""
    query = select(CarrierRow).filter_by(migration=migration).order_by(CarrierRow.subject)
    with store.read() as session:
        return [_carrier(row) for row in session.scalars(query)]


def ended(store: Store, migration: str) -> list[Carrier]:
    """Return what nobody carries on."""
    return [carrier for carrier in of(store, migration) if carrier.end is not None]


def one(store: Store, migration: str, subject: str) -> Carrier | None:
    """Return who carries a piece of work; None when it is done or nobody began it."""
    with store.read() as session:
        row = session.get(CarrierRow, (migration, subject))
        return _carrier(row) if row else None


def one_in(session: Session, migration: str, subject: str) -> Carrier | None:
    """Return who carries a piece of work within the caller's transaction."""
    # read anew: what this session knows of the row may be from before it had the lock
    row = session.get(CarrierRow, (migration, subject), populate_existing=True)
    return _carrier(row) if row else None


def refuse_other(carrier: Carrier | None, flow_run_id: str) -> None:
    """Refuse a run that does not carry the work, or whose end in Prefect is known.

    Raises:
        CarriedElsewhere: Another run does; or this one was cancelled, and only its process lives.
    """
    if carrier is None:
        return
    if carrier.flow_run_id != flow_run_id:
        raise CarriedElsewhere(
            f"not continued because flow run {carrier.flow_run_id} carries {carrier.subject}")
    if carrier.end is not None:
        ended = what(carrier.end, carrier.said)
        raise CarriedElsewhere(
            f"not continued because of {carrier.subject} {ended}")


def note_end(store: Store, carrier: Carrier, ended: Ended, *, text: str, now: datetime) -> bool:
    """Note once how the run of a piece of work ended, audit it, and have people notified.

    One transaction: whoever is killed, the note and the message exist both or not at all.

    Args:
        store: The store.
        carrier: The work as it was read; changed or done meanwhile, nothing is noted.
        ended: How the run ended.
        text: What people read: where users stand, and what can be done.
        now: The present moment.

    Returns:
        Whether it is new.
    """
    # what Prefect says of a run may be of any length; people need its beginning
    said = ended.said[:500]
    with store.begin() as session:
        row = _unchanged(session, carrier)
        # the observer and a command may both see the end; the second finds it noted
        if row is None or carrier.end is ended.end:
            return False
        row.end, row.said, row.since = str(ended.end), said, ended.since
        audit.append(session, carrier.migration, NewEvent(
            actor="observer", kind="run.ended", at=now,
            data={"subject": carrier.subject, "flow_run_id": carrier.flow_run_id,
                  "end": str(ended.end), "said": said}))
        # with the time: a run may end, come back, and end again, and each time people are told
        key = f"{carrier.flow_run_id}-{carrier.subject}-{ended.end}-{ended.since:%F %T}"
        messages.put_in(session, Message(
            carrier.migration, key=f"run-ended-{key}", severity=Severity.CRITICAL,
            title=f"nobody carries on {carrier.subject} of {carrier.migration}", body=text,
            at=now))
        return True


def note_back(store: Store, carrier: Carrier, *, now: datetime) -> bool:
    """Note that a run whose end was noted goes on after all; return whether that is new."""
    with store.begin() as session:
        row = _unchanged(session, carrier)
        if row is None or carrier.end is None:
            return False
        row.end, row.said, row.since = "", "", now
        audit.append(session, carrier.migration, NewEvent(
            actor="observer", kind="run.back", at=now,
            data={"subject": carrier.subject, "flow_run_id": carrier.flow_run_id}))
        messages.put_in(session, Message(
            carrier.migration, key=f"run-back-{carrier.flow_run_id}-{carrier.subject}-{now:%F %T}",
            severity=Severity.INFO,
            title=f"{carrier.subject} of {carrier.migration} is carried on again",
            body=f"By flow run {carrier.flow_run_id}.", at=now))
        return True


def _unchanged(session: Session, carrier: Carrier) -> CarrierRow | None:
    """Return the work's row, locked, unless it changed since the carrier was read."""
    audit.lock(session, carrier.migration)
    key = (carrier.migration, carrier.subject)
    row = session.get(CarrierRow, key, with_for_update=True)
    # compared as a whole: whatever changed, the end that was seen is of another state
    return row if row is not None and _carrier(row) == carrier else None


def _carrier(row: CarrierRow) -> Carrier:
    return to_record(Carrier, row, end=End(row.end) if row.end else None)

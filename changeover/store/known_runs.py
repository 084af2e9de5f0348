"""Which flow runs a database knows: what has no tag in Prefect is ours only if we know it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from changeover.store.carriers import CarrierRow
from changeover.store.cutovers import CutoverRow
from changeover.store.engine import Store
from changeover.store.heartbeats import HeartbeatRow
from changeover.store.rollbacks import RollbackRow

_SIGN = "flow:"


def known(store: Store, run_ids: Collection[str]) -> set[str]:
    """Return those of some flow runs that carry or carried work here, or gave a sign of life.

    Args:
        store: The store.
        run_ids: Ids of flow runs.

    Raises:
        StoreError: The store cannot be used.
    """
    found: set[str | None] = set()
    with store.read() as session:
        for row in (CarrierRow, CutoverRow, RollbackRow):
            column = row.flow_run_id
            found.update(session.scalars(select(column).where(column.in_(run_ids))))
        services = [f"{_SIGN}{each}" for each in run_ids]
        signs = session.scalars(
            select(HeartbeatRow.service).where(HeartbeatRow.service.in_(services)))
        found.update(sign.removeprefix(_SIGN) for sign in signs)
    return {each for each in found if each}

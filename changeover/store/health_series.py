"""What health checks measured of the machine over time, thin enough for a chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from changeover.store.engine import Store
from changeover.store.health_results import HealthRow


def percents(
    store: Store, migration: str, checks: Sequence[str], *, since: datetime
) -> dict[str, dict[int, float]]:
    """Return the percentages that checks found, by check and Unix second.

    Args:
        store: The store.
        migration: Name of the migration.
        checks: Names of checks whose data have `percent`, as `memory`.
        since: Older results are left out.
    """
    found: dict[str, dict[int, float]] = {name: {} for name in checks}
    # plain columns: a month has tens of thousands of results
    query = select(HealthRow.check, HealthRow.at, HealthRow.data).where(
        HealthRow.migration == migration, HealthRow.at >= since,
        HealthRow.check.in_(list(checks))).order_by(HealthRow.at)
    with store.read() as session:
        for name, at, data in session.execute(query):
            percent = data.get("percent")
            # a check that broke found nothing
            if percent is not None:
                found[name][int(at.timestamp())] = float(percent)
    return found

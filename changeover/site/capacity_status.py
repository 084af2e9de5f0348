"""Whether a rollback would still fit after the baseline was made smaller, for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from changeover.domain.capacity import Fit
from changeover.plan.model import Plan
from changeover.store.engine import Store


def collect(store: Store, plan: Plan, *, now: datetime) -> dict[str, Any] | None:
    """Return whether a rollback would fit; None while nothing has made the baseline smaller."""
    if not any(lever.shrinks for lever in plan.levers.values()):
        return None
    # here, since numpy is half of what `status` would import
    from changeover.site.capacity import room_when_shrunk

    room = room_when_shrunk(store, plan, now=now)
    return room.document() if room else None


def lines(room: dict[str, Any] | None) -> list[str]:
    """Return it as lines of the status; none while nothing has made the baseline smaller."""
    if room is None:
        return []
    start = "way back" if room["fit"] == Fit.FITS else "WAY BACK AT RISK"
    return [f"{start}: {room['text']}"]

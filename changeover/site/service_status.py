"""How a migration's services are: since when each is silent, and how many processes compare."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from changeover.domain.crew import Crew
from changeover.store import heartbeats
from changeover.store.engine import Store


def collect(store: Store, migration: str, now: datetime) -> dict[str, Any]:
    """Return `services` (seconds since each one's last sign of life) and `comparing`.

    The latter has a line for each shadow service of which several processes compare.
    """
    beats = heartbeats.of(store, migration)
    return {
        "services": {beat.service: round(max(0.0, (now - beat.at).total_seconds()), 1)
                     for beat in beats},
        "comparing": {beat.service: beat.detail for beat in beats if Crew.of(beat.detail)},
    }


def lines(status: dict[str, Any]) -> list[str]:
    """Return a line for each service."""
    found = []
    for name, age in status["services"].items():
        said = status["comparing"].get(name)
        found.append(f"{name}: last sign of life {age} s ago{f', {said}' if said else ''}")
    return found

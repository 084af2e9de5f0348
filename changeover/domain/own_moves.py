"""What a gateway node did with its users while it was cut off from the store. Pure.

A node sends everyone to the baseline when a trigger fires on its own traffic, or when it was cut
off for `routing.lost_after`. It says so in its row of the store as soon as that answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LOST = "lost"
FIRING = "firing"
"""What a journal of a node has beside what every journal of break glass has."""


@dataclass(frozen=True, slots=True)
class OwnMove:
    """One such move, as a node wrote it down before it moved anybody.

    Args:
        node: Name of the node.
        at: Moment, ISO 8601, by the node's clock; it tells a node's moves apart.
        epoch: The epoch that the node began by it.
        reason: Why.
        actor: The node, or the person who broke glass there.
        is_lost: Whether it was only cut off for too long: its users come back by themselves.
        firing: `trigger`, `reason`, `second`, `evidence`, `scope`, `is_urgent`; empty when none
            fired.
        served_at: When its Envoy served it, ISO 8601; empty when that is not known.
    """

    node: str
    at: str
    epoch: int
    reason: str
    actor: str = ""
    is_lost: bool = False
    firing: Mapping[str, Any] = field(default_factory=dict)
    served_at: str = ""

    @property
    def is_urgent(self) -> bool:
        """Whether a return in steps is not enough: a person did it, or what fired was urgent."""
        return bool(self.firing.get("is_urgent", True))

    @property
    def moment(self) -> datetime | None:
        """When it was, aware; None when the node wrote no moment."""
        try:
            found = datetime.fromisoformat(self.at)
        except ValueError:
            return None
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    @property
    def title(self) -> str:
        """What happened, without the reason: `gateway node edge-1 sent its users …`."""
        # glass may be broken also while the store answers
        is_by_person = not self.is_lost and not self.firing
        how = "by break glass" if is_by_person else "while it was cut off"
        return f"gateway node {self.node} sent its users to the baseline {how}"


def move_of(node: str, entry: Mapping[str, Any]) -> OwnMove:
    """Return a move from a node's journal."""
    return OwnMove(
        node, str(entry.get("at", "")), int(entry.get("epoch", 0)), str(entry.get("reason", "")),
        str(entry.get("actor") or f"gateway node {node}"), is_lost=bool(entry.get(LOST)),
        firing=entry.get(FIRING) or {},
        served_at=str(entry.get("served_at", "")))


def unrecorded(entries: list[dict[str, Any]], recorded: str) -> list[dict[str, Any]]:
    """Return the entries after the one that was recorded last; all when it is not among them.

    Args:
        entries: A node's journals, oldest first.
        recorded: The moment of the newest one that is recorded; empty before the first.
    """
    moments = [entry.get("at") for entry in entries]
    # by place, and not by time: a node's clock may be set back
    known = moments.index(recorded) + 1 if recorded in moments else 0
    return entries[known:]

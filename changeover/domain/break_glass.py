"""What is asked of a gateway node when glass is broken there from another machine. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from changeover.domain.storable import storable

LONGEST_BODY = 16 << 10
LONGEST_REASON, LONGEST_NAME = 2000, 200


@dataclass(frozen=True, slots=True)
class BreakGlassCall:
    """Everyone at one node is to go to the baseline.

    Whatever the reason and the actor hold, they can be sent and stored: odd characters are replaced
    and what is too long is cut.

    Args:
        reason: What happened, for the audit.
        actor: Who asks.
        node: Which node is meant; empty for whichever answers.
        migration: Whose users are meant; empty for whichever the node has.
        knows_baseline: Whether the caller looked at the note that a baseline was retired, which is
            on the main machine: the node has none.
    """

    reason: str
    actor: str
    node: str = ""
    migration: str = ""
    knows_baseline: bool = False

    def __post_init__(self) -> None:
        """Make what a person or a program wrote such that it keeps nothing from being done."""
        for name, longest in (("reason", LONGEST_REASON), ("actor", LONGEST_NAME)):
            object.__setattr__(self, name, storable(getattr(self, name))[:longest])

    def as_data(self) -> dict[str, Any]:
        """Return it as the body of the request."""
        return asdict(self)

    def why_not(self, node: str, migration: str) -> str:
        """Return why a node is not the one that is meant; empty when it is."""
        if self.node and self.node != node:
            return f"this is the node {node}, not {self.node}"
        if self.migration and self.migration != migration:
            return f"this node belongs to {migration}, not to {self.migration}"
        return ""


def parse(body: bytes) -> BreakGlassCall:
    """Return what a request asks for.

    Raises:
        ValueError: It is not what it should be; the text says what is.
    """
    try:
        found = json.loads(body)
    except ValueError:
        raise ValueError("the body is no JSON document") from None
    if not isinstance(found, Mapping):
        raise ValueError("the body is no JSON object")
    return BreakGlassCall(
        _text(found, "reason", LONGEST_REASON, is_needed=True),
        _text(found, "actor", LONGEST_NAME, is_needed=True),
        _text(found, "node", LONGEST_NAME), _text(found, "migration", LONGEST_NAME),
        knows_baseline=found.get("knows_baseline") is True)


def _text(found: Mapping[str, Any], name: str, longest: int, *, is_needed: bool = False) -> str:
    value = found.get(name, "")
    if not isinstance(value, str) or len(value) > longest or (is_needed and not value.strip()):
        least = "1 to" if is_needed else "at most"
        raise ValueError(f"`{name}` must be a text of {least} {longest} characters")
    return storable(value)

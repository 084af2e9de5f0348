"""Gateway nodes: Envoys on other machines that follow the routing state in the store. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from changeover.domain.own_moves import OwnMove, move_of
from changeover.domain.own_moves import unrecorded as _unrecorded

SILENT_AFTER = timedelta(seconds=3)
"""A node gives a sign of life every second or oftener; one without is named, and not waited for."""
OUTDATED = "its Envoy runs with the listener of an earlier plan"
"""A node's problem when its address, TLS, limits or segments are not those of the plan."""
COMPARES_NOTHING = "nothing is compared here"
"""A node's problem when it was asked to compare, and its shadow service does not run."""
FORGOTTEN_AFTER = timedelta(hours=24)
"""A node that was never heard of again is named for so long: its machine may serve users still."""
MAIN = "main"
"""The name of the gateway of `changeover up`; it is no node, and no node may have its name."""


class NodeState(StrEnum):
    """What a node says of itself."""

    STARTING = "starting"  # it does not serve the newest version yet
    READY = "ready"
    DRAINING = "draining"  # it asked for no more users, and finishes
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class GatewayNode:
    """A gateway on another machine, as the store knows it; its times are the database's.

    Args:
        migration: Whose users it sends to the systems.
        name: Its name among the migration's gateways; its samples have it, too.
        address: Where it listens.
        home: Tells one home from another: a name belongs to one home at a time.
        state: What it says of itself.
        started: When its program was started.
        seen: When it was heard of last.
        epoch: Epoch of the routes that its Envoy serves; None before the first.
        version: Their version.
        confirmed_at: When it said that Envoy serves them.
        measured_until: Unix second; all it measured before is in the store.
        problem: Why it does not do what it should; empty when it does.
        own_moves: What it did with its users while it was cut off, oldest first.
        recorded: The moment of the newest of them that is recorded; empty before the first.
        break_glass_url: Where glass is broken there from elsewhere; empty when it is not.
    """

    migration: str
    name: str
    address: str
    home: str
    state: NodeState
    started: datetime
    seen: datetime
    epoch: int | None = None
    version: int | None = None
    confirmed_at: datetime | None = None
    measured_until: int = 0
    problem: str = ""
    own_moves: list[dict[str, Any]] | None = field(default=None)
    recorded: str = ""
    break_glass_url: str = ""

    @property
    def unrecorded(self) -> list[OwnMove]:
        """What it did while it was cut off and is not recorded yet, oldest first."""
        entries = _unrecorded(self.own_moves or [], self.recorded)
        return [move_of(self.name, entry) for entry in entries]

    def is_apart(self, order: tuple[int, int]) -> bool:
        """Whether it rolled back by itself, before a version was decided that counts again."""
        is_ahead = self.order[0] > order[0]
        return is_ahead and any(not move.is_lost for move in self.unrecorded)

    def serves_version(self, order: tuple[int, int]) -> bool:
        """Whether it serves a version or a later one."""
        return self.order >= order and not self.is_apart(order)

    @property
    def order(self) -> tuple[int, int]:
        """(epoch, version) that it serves; before all others while it serves nothing."""
        if self.epoch is None or self.version is None:
            return (-1, -1)
        return self.epoch, self.version

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return "the main gateway" if self.name == MAIN else self.name

    @property
    def is_outdated(self) -> bool:
        """Whether its Envoy must be started again before it does all that the plan says."""
        return OUTDATED in self.problem

    @property
    def compares_nothing(self) -> bool:
        """Whether it was asked to compare and does not."""
        return COMPARES_NOTHING in self.problem

    def is_silent(self, now: datetime) -> bool:
        """Whether it was not heard of for longer than a node that lives ever is."""
        return now - self.seen > SILENT_AFTER

    @property
    def serves(self) -> str:
        """What it serves, for people: `version 7 (epoch 0)`."""
        if self.version is None:
            return "nothing yet"
        return f"version {self.version} (epoch {self.epoch})"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes of a migration at one moment of the database's time.

    Args:
        nodes: By name; those that have gone are not among them.
        now: That moment.
        untold: Those that did something while they were cut off that is not recorded yet, also
            those that have gone.
    """

    nodes: tuple[GatewayNode, ...]
    now: datetime
    untold: tuple[GatewayNode, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[GatewayNode], now: datetime) -> Fleet:
        """Return the nodes that count: not gone, and heard of within a day."""
        found = sorted(nodes, key=lambda node: node.name)
        kept = tuple(node for node in found if node.state is not NodeState.GONE
                     and now - node.seen <= FORGOTTEN_AFTER)
        return cls(kept, now, tuple(node for node in found if node.unrecorded))

    @property
    def counted(self) -> list[GatewayNode]:
        """The nodes that serve users: one that only starts has no routes yet, and none.

        The main gateway always counts: whoever starts it lets users in at once.
        """
        return [node for node in self.nodes if node.version is not None or node.name == MAIN]

    @property
    def live(self) -> list[GatewayNode]:
        """The nodes that were heard of lately."""
        return [node for node in self.counted if not node.is_silent(self.now)]

    @property
    def silent(self) -> list[GatewayNode]:
        """The nodes that were not."""
        return [node for node in self.counted if node.is_silent(self.now)]

    def confirmed(self, order: tuple[int, int]) -> list[GatewayNode]:
        """Return the nodes that serve a version or a later one, heard of or not."""
        return [node for node in self.counted if node.serves_version(order)]

    def behind(self, order: tuple[int, int]) -> list[GatewayNode]:
        """Return the live nodes that do not serve a version or a later one."""
        return [node for node in self.live if not node.serves_version(order)]

    @property
    def outdated(self) -> list[GatewayNode]:
        """The live nodes whose Envoy has the listener of an earlier plan."""
        return [node for node in self.live if node.is_outdated]

    def lost(self, order: tuple[int, int]) -> list[GatewayNode]:
        """Return the silent nodes that served an earlier version when they were heard of last."""
        return [node for node in self.silent if node.order < order]

    def text(self, order: tuple[int, int]) -> str:
        """Return who serves a version and who does not, in words.

        As `4 of 5 nodes confirmed, edge-3 not heard of since 12:00:03 UTC`.
        """
        words = "gateways" if any(node.name == MAIN for node in self.nodes) else "nodes"
        parts = [f"{len(self.confirmed(order))} of {len(self.counted)} {words} confirmed"]
        for node in self.counted:
            is_told = node.is_outdated or node.compares_nothing
            if is_told or not node.serves_version(order) or node.is_silent(self.now):
                parts.append(self._why(node))
        return ", ".join(parts)

    def _why(self, node: GatewayNode) -> str:
        if node.is_silent(self.now):
            return f"{node.label} {not_heard_of(node, self.now)}"
        if node.problem:
            serves = "" if node.version is None else f" serves {node.serves}"
            return f"{node.label}{serves}: {node.problem}"
        return f"{node.label} still serves {node.serves}"


def not_heard_of(node: GatewayNode, now: datetime) -> str:
    """Return since when a node is silent: `not heard of since 12:00:03 UTC`."""
    # yesterday's time alone would be taken for today's
    is_today = now.date() == node.seen.date()
    return f"not heard of since {node.seen:%T} UTC" if is_today \
        else f"not heard of since {node.seen:%F %T} UTC"


def as_data(fleet: Fleet, order: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the nodes for programs, with whether each serves a version."""
    return [
        {"name": node.name, "address": node.address, "state": str(node.state),
         "epoch": node.epoch, "version": node.version, "is_current": node.order >= order,
         "is_silent": node.is_silent(fleet.now), "seen": node.seen.isoformat(),
         "age_seconds": round(max(0.0, (fleet.now - node.seen).total_seconds()), 1),
         "problem": node.problem, "text": describe(node, fleet.now, order)}
        for node in fleet.nodes
    ]


def describe(node: GatewayNode, now: datetime, order: tuple[int, int]) -> str:
    """Return a node's standing for people, without its name."""
    heard = not_heard_of(node, now) if node.is_silent(now) else \
        f"heard of {max(0.0, (now - node.seen).total_seconds()):.1f} s ago"
    old = "" if node.order >= order else ", which is not the newest"
    problem = f"; {node.problem}" if node.problem else ""
    return f"{node.state}, serves {node.serves}{old}, {heard}{problem}"

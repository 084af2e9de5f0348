"""Whether a node is ready for users, and in words why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.gateway_nodes import NodeState

CUT_OFF_AFTER = 3.0
"""Seconds without an answer of the store after which a node says that it is cut off."""

ROLLBACK_SECONDS = 1.0
"""So long a node that serves routes of before a rollback is still ready: mostly it takes them in
less, and all nodes read the rollback in the same moment."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a node knows of itself.

    Args:
        is_draining: Whether it was asked to end.
        is_serving: Whether its Envoy answers.
        wanted: (epoch, version) of the newest routing state that it read; None before the first.
        served: (epoch, version) that its Envoy serves; None before the first.
        silence: Seconds since the store took a sign of life; None when it never answered.
        problem: Why the routes are not what they should be; empty when they are.
        waiting: Seconds since it read the wanted epoch first; endless of the first state it read.
    """

    is_draining: bool
    is_serving: bool
    wanted: tuple[int, int] | None
    served: tuple[int, int] | None
    silence: float | None
    problem: str = ""
    waiting: float = 0.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether users may be sent to a node, what it is to the store, and in words why."""

    is_ready: bool
    state: NodeState
    text: str


def readiness(known: Known) -> Readiness:
    """Return whether users may be sent to a node.

    A node that was ready stays ready while the store is away: all of them lose it at once, and
    users must go somewhere. Its text says that it is cut off. For the same reason it stays ready
    while it brings a newer version to Envoy. Only one that does not take a rollback gets no users.
    """
    if known.is_draining:
        return Readiness(False, NodeState.DRAINING, "it was asked to end, and finishes")
    if not known.is_serving:
        return Readiness(False, NodeState.STARTING, "its Envoy does not answer")
    if known.silence is None or known.wanted is None:
        return Readiness(False, NodeState.STARTING, "the store has not answered yet")
    served, text = known.served or (-1, -1), f"serves {_version(known.served)}"
    if served < known.wanted:
        text += (f", the newest is {_version(known.wanted)}: "
                 f"{known.problem or 'it is being published'}")
        is_old = served[0] < known.wanted[0] and known.waiting > ROLLBACK_SECONDS
        if known.served is None or is_old:
            return Readiness(False, NodeState.STARTING, text)
    if known.silence > CUT_OFF_AFTER:
        text += (f"; cut off from the store for {known.silence:.0f} s, goes on with these routes, "
                 "and nobody knows whether they are the newest")
    if known.problem and served >= known.wanted:
        text += f"; {known.problem}"
    return Readiness(True, NodeState.READY, text)


def _version(order: tuple[int, int] | None) -> str:
    return "nothing yet" if order is None else f"version {order[1]} (epoch {order[0]})"

"""Whether a node is ready for users, and in words why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.gateway_nodes import NodeState

CUT_OFF_AFTER = 3.0
"""Seconds without an answer of the store after which a node says that it is cut off."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a node knows of itself.

    Args:
        is_draining: Whether it was asked to end.
        is_serving: Whether its Envoy answers.
        wanted: (epoch, version) of the newest routing state that it read; None before the first.
        served: (epoch, version) that its Envoy serves; None before the first.
        silence: Seconds since the store answered last; None when it never did.
        problem: Why the routes are not what they should be; empty when they are.
    """

    is_draining: bool
    is_serving: bool
    wanted: tuple[int, int] | None
    served: tuple[int, int] | None
    silence: float | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether users may be sent to a node, what it is to the store, and in words why."""

    is_ready: bool
    state: NodeState
    text: str


def readiness(known: Known) -> Readiness:
    """Return whether users may be sent to a node.

    A node that was ready stays ready while the store is away: all of them lose it at once, and
    users must go somewhere. Its text says that it is cut off.
    """
    if known.is_draining:
        return Readiness(False, NodeState.DRAINING, "it was asked to end, and finishes")
    if not known.is_serving:
        return Readiness(False, NodeState.STARTING, "its Envoy does not answer")
    if known.silence is None or known.wanted is None:
        return Readiness(False, NodeState.STARTING, "the store has not answered yet")
    served = known.served or (-1, -1)
    if served < known.wanted:
        why = known.problem or "it is being published"
        return Readiness(False, NodeState.STARTING,
                         f"serves {_version(known.served)}, the newest is "
                         f"{_version(known.wanted)}: {why}")
    text = f"serves {_version(known.served)}"
    if known.silence > CUT_OFF_AFTER:
        text += (f"; cut off from the store for {known.silence:.0f} s, goes on with these routes, "
                 "and nobody knows whether they are the newest")
    elif known.problem:
        text += f"; {known.problem}"
    return Readiness(True, NodeState.READY, text)


def _version(order: tuple[int, int] | None) -> str:
    return "nothing yet" if order is None else f"version {order[1]} (epoch {order[0]})"

"""The plan as a node serves it. Pure."""

from __future__ import annotations

from changeover.domain.routing import System
from changeover.plan.model import Plan

_LOOPBACK = ("127.", "localhost", "::1")


def of_node(plan: Plan, listen: str | None, *, has_shadow: bool = False) -> Plan:
    """Return a plan with a node's own address, and without what is not done there.

    Args:
        plan: The plan as it is stored.
        listen: Where the node listens; None for the plan's address.
        has_shadow: Whether a shadow service runs beside its Envoy; else no copies are taken there.
    """
    routing = plan.routing if listen is None else plan.routing.model_copy(
        update={"listen": listen})
    return plan.model_copy(
        update={"routing": routing, "shadow": plan.shadow if has_shadow else None})


def warnings(plan: Plan) -> list[str]:
    """Return what of a plan means another machine here than where it was written."""
    found = []
    for name in System:
        for place in plan.system(name).places:
            if place.socket or place.host.startswith(_LOOPBACK):
                found.append(
                    f"systems.{name} is at {place.title}: each node asks its own machine there")
    return found

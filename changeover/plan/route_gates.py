"""Gates of stages that move routes: each check is about the route, unless it says otherwise. Pure.

Gate `slo` of a stage that moves routes orders and search becomes `slo.orders` and `slo.search`, so
that each route has its own verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from changeover.plan.conditions import CheckSpec

_OF = "."
"""No gate's name has it, as it is written."""


def about(gates: Sequence[str], routes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a stage's gates: those of its routes, or as they are written."""
    if not routes:
        return tuple(gates)
    return tuple(f"{gate}{_OF}{route}" for gate in gates for route in routes)


def written(gate: str) -> str:
    """Return the name under which the plan's file has a gate."""
    return gate.partition(_OF)[0]


def route_of_gate(gate: str) -> str | None:
    """Return the route that a gate is about; None when it is about all requests."""
    return gate.partition(_OF)[2] or None


def of_routes(
    gates: Mapping[str, list[CheckSpec]], named: Sequence[str]
) -> dict[str, list[CheckSpec]]:
    """Return the gates of stages of routes, each with its checks.

    Args:
        gates: The gates as they are written.
        named: The gates that stages have.
    """
    found = {}
    for name in named:
        gate, _, route = name.partition(_OF)
        if route and gate in gates:
            found[name] = [_about(check, route) for check in gates[gate]]
    return found


def _about(check: CheckSpec, route: str) -> CheckSpec:
    # health, memory, comparisons and what applications report are not told by the request
    if not check.is_of_requests or check.part is not None:
        return check
    return check.model_copy(update={"route": route})

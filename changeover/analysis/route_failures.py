"""Gates that failed because of single routes: which routes these are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from changeover.domain.rollout import GateVerdict
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import OnFail
from changeover.plan.route_gates import route_of_gate
from changeover.plan.subsets import subset_of_route


def failed_routes(routes: Sequence[str], judged: Iterable[GateVerdict]) -> tuple[str, ...]:
    """Return the routes of a stage that may go back alone, since nothing else failed its gates.

    Args:
        routes: The routes that the stage moves; empty for a stage of everything else.
        judged: The verdicts of its gates.

    Returns:
        Nothing when in doubt: a check of whole systems failed, or one of another route.
    """
    found: list[str] = []
    for known in judged:
        if known.verdict is not Verdict.FAIL:
            continue
        route = route_of_gate(known.gate)
        if route is None or route not in routes or not _is_alone(known.evidence, route):
            return ()
        found.append(route)
    return tuple(dict.fromkeys(found))


def _is_alone(evidence: Iterable[Mapping[str, Any]], route: str) -> bool:
    """Whether all checks by which a gate failed read this route's requests."""
    failed = [check for check in evidence if _has_failed(check)]
    return bool(failed) and all(
        check.get("subset") == subset_of_route(route) for check in failed)


def _has_failed(check: Mapping[str, Any]) -> bool:
    if check.get("on_fail", OnFail.ROLLBACK) != OnFail.ROLLBACK:
        return False
    # the checks of a group fail together: nobody can say which of them did it
    group = check.get("group") or {}
    return Verdict.FAIL in (check.get("verdict"), group.get("verdict"))

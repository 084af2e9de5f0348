"""How far everybody who is told of decisions has come, as JSON-able mappings and as text."""

from __future__ import annotations

from typing import Any

from changeover.domain.relays import Relay, in_force
from changeover.plan.model import Plan
from changeover.store import relays
from changeover.store.engine import Store


def collect(store: Store, plan: Plan) -> list[dict[str, Any]]:
    """Return how far each receiver of a plan has come.

    Keys: `target` (`prefect`, `webhook NAME`, `team NAME`), `waiting` (events of the audit that it
    does not have yet), `problem` and `failing_since` (ISO 8601, or null) while it takes none,
    `given_up` (events, ever).
    """
    head = relays.head_seq(store, plan.migration)
    known = relays.all_of(store, plan.migration)
    return [_receiver(each, head) for each in in_force(known, plan)]


def _receiver(relay: Relay, head: int) -> dict[str, Any]:
    since = relay.failing_since
    return {
        "target": relay.target, "waiting": max(0, head - relay.seq), "problem": relay.problem,
        "failing_since": since.isoformat() if since else None, "given_up": relay.given_up,
    }


def lines(receivers: list[dict[str, Any]]) -> list[str]:
    """Return a line for each receiver that takes no events, or for whom some were given up."""
    found = []
    for each in receivers:
        said = []
        if each["problem"]:
            said.append(f"{each['waiting']} events wait since {each['failing_since'][:19]}: "
                        f"{each['problem']}")
        if each["given_up"]:
            said.append(f"{each['given_up']} events were given up")
        if said:
            found.append(f"{each['target']}: {'; '.join(said)}")
    return found

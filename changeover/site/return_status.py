"""How far a return of users in steps has come, for `changeover status` and the console."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from changeover.domain.routing import RoutingState
from changeover.store import returns
from changeover.store.engine import Store


def collect(store: Store, state: RoutingState, *, now: datetime) -> dict[str, Any] | None:
    """Return how far users have returned; None when they do not return in steps.

    Keys: `step` (counted from 1), `of`, `next_at` (null after the last one), `until`, `text`.
    """
    plan = returns.schedule(store, state)
    if plan is None:
        return None
    step, steps = plan.step_at(now), plan.steps
    after, next_at = "", None
    if step < steps:
        following = plan.due_at(step + 1)
        after = f", the next one at {following:%T} UTC"
        next_at = following.isoformat()
    text = (f"users return to the baseline in steps: step {step} of {steps}{after}, "
            f"everyone until {plan.end:%F %T} UTC; "
            "`changeover rollback` ends it at once")
    return {
        "step": step, "of": steps, "until": plan.end.isoformat(),
        "next_at": next_at, "text": text,
    }


def lines(returning: dict[str, Any] | None) -> list[str]:
    """Return it for people."""
    if not returning:
        return []
    return [str(returning["text"])]

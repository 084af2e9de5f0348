"""Making a plan its migration's: what `changeover up` and `changeover deploy` do first."""

from __future__ import annotations

from pathlib import Path

from changeover import clock
from changeover.plan.model import Plan
from changeover.procedures import members
from changeover.store import flags, plans
from changeover.store.engine import Store


def register(store: Store, plan: Plan, source: Path) -> list[str]:
    """Save a plan in the store, with its flags; return what a person should know.

    Args:
        store: The store.
        plan: The plan.
        source: Its file.

    Raises:
        InvalidPlan: It cannot work beside those of its group.
        Refused: It changed while a cutover of it runs.
    """
    notes = members.refuse_beside_registered(store, plan, source, plan.environment)
    plans.register(store, plan, source=str(source), now=clock.now())
    flags.follow_plan(store, plan, now=clock.now())
    return notes

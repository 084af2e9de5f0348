"""Triggers, as a plan says them: conditions that are always watched. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from changeover.plan.conditions import Condition
from changeover.plan.fields import Duration, Name


class TriggerAction(StrEnum):
    """What a trigger does when it fires."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    ALERT = "alert"


class TriggerSpec(Condition):
    """A condition that is always watched; it fires when it held for the whole of `for`."""

    name: Name
    for_: Duration = Field(alias="for", description="How long it must be true without a break.")
    over: Duration = Field(
        timedelta(seconds=10), description="Window of each evaluation."
    )
    min_samples: int = Field(10, ge=1, description="Fewer samples in the window do not count.")
    action: TriggerAction

"""A flag as it is now, and what the plan says of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.plan.flags import Entry, from_document

BASE = ""
"""Name of the environment that all others inherit from, and of plans that have none."""


@dataclass(frozen=True, slots=True)
class FlagState:
    """A flag as an environment sees it.

    Args:
        name: The flag.
        environment: Whose row it is: the environment's own, or `BASE` when inherited.
        document: Its present value, in the plan's form.
        plan_document: What the plan says; None when it knows no such flag.
        version: Grows by one with every change.
        changed_at: When it was changed last.
        changed_by: By whom.
    """

    name: str
    environment: str
    document: Any
    plan_document: Any
    version: int
    changed_at: datetime
    changed_by: str

    @property
    def entry(self) -> Entry:
        """Its present value, as a part of a plan."""
        return from_document(self.document)

    @property
    def has_drifted(self) -> bool:
        """Whether it was changed by hand and is not what the plan says."""
        return not is_same(self.document, self.plan_document)


@dataclass(frozen=True, slots=True)
class FlagEdit:
    """A wished change of one flag by hand.

    Args:
        name: The flag.
        wish: Returns the document that should hold, from the present state.
        environment: Whose flag; one that is inherited becomes the environment's own.
        expected_version: Refuse when the flag has another version; None takes any.
    """

    name: str
    wish: Callable[[FlagState], Any]
    environment: str = BASE
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class NewValues:
    """Values that flags get for everyone, all or none.

    Args:
        values: Values by name.
        environment: Whose flags.
        expected_epoch: Refuse when the routing state's epoch is another one; None takes any.
        may_mirror: Whether a flag that the plan has mirror the migration mirrors it instead. A
            rollback wants that: such a flag shows the baseline by itself, and a value that was
            set would still hold when users are on the candidate once more.
    """

    values: Mapping[str, Any]
    environment: str = BASE
    expected_epoch: int | None = None
    may_mirror: bool = False


def is_same(a: Any, b: Any) -> bool:
    """Whether two documents are equal and of the same type: `1` is not `true`."""
    # `bool`, as documents are of any type, and mypy cannot know what their `==` returns.
    return type(a) is type(b) and bool(a == b)

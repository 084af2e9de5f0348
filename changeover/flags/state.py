"""A flag as it holds, and what the plan says of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.plan.flags import Entry, from_document


@dataclass(frozen=True, slots=True)
class FlagState:
    """A flag as an environment sees it.

    Args:
        name: The flag.
        environment: Whose row it is: the environment's own, or `BASE` when inherited.
        document: What holds, in the plan's form.
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
        """What holds, as a plan's part."""
        return from_document(self.document)

    @property
    def has_drifted(self) -> bool:
        """Whether it was changed by hand and is not what the plan says."""
        return not is_same(self.document, self.plan_document)


def is_same(a: Any, b: Any) -> bool:
    """Whether two documents are equal and of the same type: `1` is not `true`."""
    return type(a) is type(b) and bool(a == b)

"""How a rollback begins, in a thread that says so: at once, or in steps."""

from __future__ import annotations

import queue
from typing import Protocol

from changeover.domain.rollbacks import Cause
from changeover.procedures.rollback import RollbackStart
from changeover.site.site import Site

Found = queue.Queue[RollbackStart | Exception]
"""Where a thread says how a rollback began."""


class Begin(Protocol):
    """How a rollback begins: `rollback.start` at once, `gradual_return.begin` in steps."""

    def __call__(
        self, site: Site, cause: Cause, *, is_baseline_back: bool = False
    ) -> RollbackStart:
        """Begin it."""

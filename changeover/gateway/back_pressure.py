"""Back-pressure: a candidate that answers too slowly is not asked, and its users do not notice.

The routing state stays as it is; only the routes on disk leave the candidate out for a while.
"""

from __future__ import annotations

import time
from typing import Any

from changeover.domain.routing import RoutingState
from changeover.errors import Unreachable
from changeover.gateway.admin import Admin
from changeover.gateway.routes_on_disk import POLL_SECONDS, RoutesOnDisk, replace_json
from changeover.plan.model import Plan


class BackPressure(RoutesOnDisk):
    """The part of a gateway that withholds users from the candidate for now."""

    _admin: Admin | None = None

    @property
    def admin(self) -> Admin:
        """The admin interface."""
        if self._admin is None:
            self._admin = Admin(self.files.admin_socket)
        return self._admin

    def withhold(
        self, plan: Plan, state: RoutingState, entry: dict[str, Any], *, timeout: float = 1.0
    ) -> bool:
        """Note the back-pressure, and have Envoy serve routes that fit `entry["withheld"]`.

        The served version stays. Whoever publishes from now on, here or in another process, leaves
        the candidate out too. A rollback never waits for this.

        Args:
            plan: The migration's plan.
            state: The routing state as it is known.
            entry: What `back_pressure.json` is to say, JSON-able.
            timeout: Longest wait for Envoy, in seconds.

        Returns:
            Whether Envoy serves them. If not, call again with the newest state; nothing is lost.

        Raises:
            EnvironmentProblem: A file cannot be written; its old content stays.
            PublishFailed: Another process keeps the lock and does not go on; call again.
        """
        wanted = bool(entry["withheld"])
        with self.locked():
            if self.back_pressure() != entry:
                # The note comes before the routes: whoever publishes in between already follows it.
                replace_json(self.files.back_pressure, entry)
            if self.journal() is not None:
                return True  # everyone is at the baseline anyway
            if self.is_withheld_on_disk() != wanted:
                # Routes of another state are there: ours, older ones, must not replace them.
                if self.on_disk() != state.order:
                    return False
                replace_json(self.files.routes, self.routes_of(plan, state))
        return self._serves(wanted, time.monotonic() + timeout)

    def _serves(self, wanted: bool, deadline: float) -> bool:
        """Poll until Envoy serves routes with or without the candidate, as wanted."""
        while time.monotonic() < deadline:
            try:
                if self.admin.is_withheld() == wanted:
                    return True
            except Unreachable:
                return False
            time.sleep(POLL_SECONDS)
        return False

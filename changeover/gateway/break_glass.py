"""Break glass: everyone to the baseline with nothing but the files, and what follows from it.

No store, no Prefect and no answer of Envoy is needed. The journal says what was done until the
store knows it; `rollback.sh` writes the same one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from changeover.domain.own_moves import LOST
from changeover.domain.routing import RoutingState
from changeover.domain.storable import storable_in
from changeover.errors import EnvironmentProblem
from changeover.gateway.envoy import streams
from changeover.gateway.envoy.config import Json, with_version
from changeover.gateway.routes_on_disk import RoutesOnDisk, replace_json
from changeover.machine.files import write_atomically
from changeover.plan.model import Plan


class BreakGlass(RoutesOnDisk):
    """The part of a gateway that works when nothing else does."""

    def break_glass(
        self, *, reason: str, actor: str, now: datetime, busy: str = "",
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Send everyone to the baseline with nothing but the files: no store, no Prefect.

        The journal is written first; the observer records it in the store when it can. This waits
        for the lock only an instant: a process that keeps it longer hangs, and the observer
        replaces what that writes when it wakes up.

        Args:
            reason, actor, now: What happened, who moves users, the present moment.
            busy: Why the store is busy, when it is well otherwise and follows.
            facts: What else the journal is to say.

        Returns the journal; one that is there already stays, unless it was to end by itself.
        """
        said = storable_in({"reason": reason, "actor": actor, "at": now.isoformat(),
                            **({"busy": busy} if busy else {}), **facts})
        with self.locked(insists=True):
            safe = self._safe_routes()
            entry = self._journal_with(said)
            safe = with_version(safe, f"{entry['epoch']}.{entry['version']}")
            # The journal first: killed in between, users have not moved, but nobody publishes
            # over it. The other way round users would have moved and no record would say so.
            replace_json(self.files.journal, entry)
            replace_json(self.files.routes, safe)
            self._end_all_streams(entry, now)
        return entry

    def _journal_with(self, said: Json) -> Json:
        """Return the journal that is in force once somebody broke glass who says this.

        The first one stays: the store is to learn what moved users, not what came after. Only a
        node's word that it was lost does not: its users come back with the store, and whoever
        breaks glass wants them to stay.
        """
        before = self.journal()
        if before is None:
            epoch, version = self.on_disk() or (0, 0)
            return {"epoch": epoch + 1, "version": version + 1, **said}
        if before.get(LOST) and not said.get(LOST):
            return {"epoch": before["epoch"], "version": int(before["version"]) + 1, **said}
        return before

    def reconcile(self, plan: Plan, state: RoutingState, *, only: Json | None = None) -> bool:
        """Replace what break glass wrote by the store's state, and delete the journal.

        Args:
            plan: The migration's plan.
            state: The state that the store has now; everyone is at the baseline in it.
            only: The journal that is known to be settled: nothing is done when by now it is
                another one.

        Returns:
            Whether it was done.
        """
        with self.locked():
            if only is not None and self.journal() != only:
                return False
            replace_json(self.files.routes, self.routes_of(plan, state))
            self.end_streams(plan, state)
            # Last: while the journal is there, no other publisher writes routes.
            self.files.journal.unlink(missing_ok=True)
            return True

    def _end_all_streams(self, entry: Json, now: datetime) -> None:
        """Have Envoy end all of the candidate's long connections; those of a journal only once."""
        # without it they stay at the candidate, which must not stop a rollback
        with contextlib.suppress(OSError):
            safe = self.files.safe_listeners.read_text("utf-8")
            generation = f"{entry['epoch']}_{entry['version']}"
            write_atomically(
                self.files.listeners, streams.filled(safe, generation, now.timestamp()))

    def _safe_routes(self) -> Json:
        try:
            safe: Json = json.loads(self.files.safe_routes.read_bytes())
        except (OSError, ValueError) as error:
            raise EnvironmentProblem(
                f"there are no safe routes to serve: {error}", where=str(self.files.safe_routes),
                next_step="Run `changeover up` once: it writes them",
            ) from error
        return safe

"""Taking a part of the traffic back: a bad cohort or path goes alone, everyone else stays."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass

from changeover import clock
from changeover.analysis.trigger import Firing
from changeover.domain.rollbacks import Cause, is_of_route
from changeover.domain.routing import ON_USERS, TRIED, Mode
from changeover.errors import ChangeoverError, Refused, StoreBusy
from changeover.observer.traffic import RolledBack, Traffic
from changeover.observer.whose import cause, occasion
from changeover.procedures.partial_rollback import PartBack, take_part_back
from changeover.store import routing

LOG = logging.getLogger("changeover.observer")

PATIENCE_SECONDS = 3.0
"""How long this may take. Then everyone goes back, which works without the store as well."""


@dataclass(frozen=True, slots=True)
class PartReturn:
    """Takes back segments and routes, whether a stage or the split moved them.

    Args:
        traffic: Where users are.
    """

    traffic: Traffic

    def is_for(self, firing: Firing) -> bool:
        """Whether a firing is about a part that can go back alone."""
        if firing.scope is None:
            return False
        return self.traffic.state.mode in _modes(firing.scope)

    def take_back(self, firing: Firing) -> RolledBack | None:
        """Move the part to the baseline.

        Returns:
            What was done; None when it cannot be done in time, so that everyone must go back.

        Raises:
            Refused: They are back already: another trigger, or a person, was faster.
        """
        # In a thread: a store that hangs cannot be interrupted, and users must not wait for it.
        found: queue.Queue[PartBack | Exception] = queue.Queue()
        threading.Thread(target=self._start, args=(firing, found), daemon=True).start()
        try:
            result = found.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            result = StoreBusy(f"it was not done within {PATIENCE_SECONDS:g} s")
        if isinstance(result, Refused):
            # the mode may have changed since it was asked whether the part goes back alone
            if self._went_on(firing):
                return None
            raise result
        if isinstance(result, Exception):
            LOG.error("%s does not go back alone because %s", firing.scope, result)
            return None
        return self._done(firing, result)

    def _went_on(self, firing: Firing) -> bool:
        """Whether users are at the candidate in a mode in which this part does not go back alone.

        The store has just answered. Where it says nothing more, everyone goes back.
        """
        site = self.traffic.site
        try:
            state = routing.read(site.store, site.migration)
        except ChangeoverError:
            return True
        return state.mode in ON_USERS - _modes(str(firing.scope))

    def _start(self, firing: Firing, found: queue.Queue[PartBack | Exception]) -> None:
        scope = str(firing.scope)
        try:
            found.put(take_part_back(
                self.traffic.site, scope, Cause("observer", cause(firing)), occasion(firing)))
        # `Refused` among them: the thread that waits tells them apart
        except ChangeoverError as error:
            found.put(error)
        except Exception as error:  # noqa: BLE001  handed to the thread that waits
            found.put(error)

    def _done(self, firing: Firing, done: PartBack) -> RolledBack:
        self.traffic.update(done.state)
        LOG.warning("rolled back %s because %s", firing.scope, firing.reason)
        confirmed_at = clock.now() if done.is_confirmed else None
        return RolledBack(done.state.epoch, confirmed_at)


def _modes(scope: str) -> frozenset[Mode]:
    # a route also goes back alone from where everyone is at the candidate
    return TRIED if is_of_route(scope) else frozenset({Mode.GRADUAL})

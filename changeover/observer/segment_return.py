"""Taking one segment's users back: a bad cohort goes alone, everyone else stays."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass

from changeover import clock
from changeover.analysis.trigger import Firing
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Mode
from changeover.errors import ChangeoverError, Refused, StoreBusy
from changeover.observer.traffic import RolledBack, Traffic
from changeover.procedures.partial_rollback import SegmentBack, take_segment_back

LOG = logging.getLogger("changeover.observer")

PATIENCE_SECONDS = 3.0
"""How long this may take. Then everyone goes back, which works without the store as well."""


@dataclass(frozen=True, slots=True)
class SegmentReturn:
    """Takes back the users of segments, whether a stage or the split moved them.

    Args:
        traffic: Where users are.
    """

    traffic: Traffic

    def is_for(self, firing: Firing) -> bool:
        """Whether a firing is about a segment whose users can go back alone."""
        return firing.segment is not None and self.traffic.state.mode is Mode.GRADUAL

    def take_back(self, firing: Firing) -> RolledBack | None:
        """Move the segment's users to the baseline.

        Returns:
            What was done; None when it cannot be done in time, so that everyone must go back.

        Raises:
            Refused: They are back already: another trigger, or a person, was faster.
        """
        # In a thread: a store that hangs cannot be interrupted, and users must not wait for it.
        found: queue.Queue[SegmentBack | Exception] = queue.Queue()
        threading.Thread(target=self._start, args=(firing, found), daemon=True).start()
        try:
            result = found.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            result = StoreBusy(f"it was not done within {PATIENCE_SECONDS:g} s")
        if isinstance(result, Refused):
            raise result
        if isinstance(result, Exception):
            LOG.error("segment %s does not go back alone because %s", firing.segment, result)
            return None
        return self._done(firing, result)

    def _start(self, firing: Firing, found: queue.Queue[SegmentBack | Exception]) -> None:
        segment = str(firing.segment)
        cause = Cause("observer", f"trigger {firing.trigger}: {firing.reason}")
        try:
            # the same firing after a restart is the same occasion
            occasion = f"trigger-{firing.trigger}-{firing.at}"
            found.put(take_segment_back(self.traffic.site, segment, cause, occasion))
        # `Refused` among them: the thread that waits tells them apart
        except ChangeoverError as error:
            found.put(error)
        except Exception as error:  # noqa: BLE001  handed to the thread that waits
            found.put(error)

    def _done(self, firing: Firing, done: SegmentBack) -> RolledBack:
        self.traffic.update(done.state)
        LOG.warning("rolled back segment %s because %s", firing.segment, firing.reason)
        confirmed_at = clock.now() if done.is_confirmed else None
        return RolledBack(done.state.epoch, confirmed_at)

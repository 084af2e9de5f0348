"""Restarts a silent worker. The health check cannot do it, because the worker runs it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.domain.health import Repair, RepairRequest
from changeover.site.prefect_api import POOL, PrefectApi
from changeover.site.site import Site
from changeover.store import repairs

LOG = logging.getLogger("changeover.observer")

SILENT = timedelta(seconds=90)
BACK = timedelta(seconds=30)
WITHIN = timedelta(seconds=75)
"""Longest time from the request until the worker has given a sign of life."""
ATTEMPTS, BACKOFF = 3, timedelta(minutes=3)


@dataclass
class WorkerWatch:
    """Watches the worker of one site, unless it runs elsewhere; call `poll` every few seconds.

    Args:
        site: The migration, whose supervisor restarts the worker.
        api: Prefect's API.
        began: When the watch began: a worker that starts with us gets time to start.
        attempt: The restart that is under way.
    """

    site: Site
    api: PrefectApi
    began: datetime
    attempt: Repair | None = None

    def poll(self, now: datetime) -> str:
        """Ask for a new worker when it is needed; return what was done, empty when nothing was.

        Raises:
            Unreachable: Prefect did not answer.
            StoreError: The store cannot be used.
        """
        # only a supervisor starts a worker again, and only its own
        is_ours = self.site.home.has_worker and not self.site.is_elsewhere
        if not is_ours or self.api.pool() != POOL:
            return ""
        silent = self.api.worker_silence(now)
        if self.attempt is not None:
            return self._finish(silent, now)
        # a worker that starts together with the observer is silent at first
        if silent is None or silent <= SILENT or now - self.began <= SILENT:
            return ""
        claimed = repairs.claim(self.site.store, self.site.migration, RepairRequest(
            issue="worker_gone", system="worker", attempts=ATTEMPTS, backoff=BACKOFF,
            lease=2 * WITHIN, actor="observer"), now=now)
        # too many attempts, or another process is at it: nothing to do here
        if not isinstance(claimed, Repair):
            return ""
        self.attempt = claimed
        self.site.home.ask_restart("worker")
        return f"a new worker was asked for because it is silent for {silent.total_seconds():.0f} s"

    def _finish(self, silent: timedelta | None, now: datetime) -> str:
        attempt = self.attempt
        is_back = silent is not None and silent <= BACK
        if attempt is None or not (is_back or now - attempt.started_at > WITHIN):
            return ""
        self.attempt = None
        detail = "it gives signs of life" if is_back else "it gives no sign of life"
        repairs.finish(self.site.store, attempt.id, is_good=is_back, detail=detail, now=now)
        return f"the worker was started again and {detail}"

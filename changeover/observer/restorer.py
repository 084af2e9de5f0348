"""Bringing back a baseline that was taken out of use, in a thread of its own, without the store.

Starting a system takes seconds, and the store may be away meanwhile. Neither the watch over the
candidate nor break glass waits for this.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from changeover.domain.messages import Severity
from changeover.observer.notices import Notices
from changeover.plan.model import Plan
from changeover.procedures import baseline
from changeover.procedures.baseline import Return

LOG = logging.getLogger("changeover.observer")

POLL_SECONDS = 1.0
BAD_ANSWERS = 2
"""Bad health answers in a row after which the baseline that everyone is sent to is started."""


class BaselineRestorer:
    """Starts a migration's baseline again after it was taken out of use.

    Args:
        plan: The migration's plan.
        notices: Where people are notified when it does not come back.
    """

    def __init__(self, plan: Plan, notices: Notices) -> None:
        self._plan, self._notices = plan, notices
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._found: Return | None = None

    def is_back(self) -> bool:
        """Whether levers brought the baseline back; starts them when none is running."""
        with self._lock:
            # an attempt that failed does not count: the next call begins another
            if self._found is not None and self._found.is_well:
                return True
            self._begin()
            return False

    def watch(self, stop: threading.Event, is_needed: Callable[[], bool]) -> None:
        """Start a baseline that is not well again, while `is_needed` says that all users need it.

        A lever that was running when the rollback came may disable it afterwards, and break glass
        asks nobody. Whatever the cause, the baseline is brought back.
        """
        bad = 0
        while not stop.wait(POLL_SECONDS):
            # one bad answer may be a lost packet
            bad = bad + 1 if is_needed() and not baseline.is_well(self._plan) else 0
            if bad >= BAD_ANSWERS:
                with self._lock:
                    self._begin()

    @property
    def found(self) -> Return | None:
        """The newest attempt that is not recorded in the store yet."""
        return self._found

    def forget(self, found: Return) -> None:
        """Forget an attempt that is recorded in the store by now."""
        with self._lock:
            # by identity: a newer attempt must not be forgotten with the older one
            if self._found is found:
                self._found = None

    def _begin(self) -> None:
        # one at a time: two would pull the same levers against each other
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._bring_back, daemon=True)
            self._thread.start()

    def _bring_back(self) -> None:
        LOG.warning("bringing back the baseline, which was taken out of use")
        found = baseline.pull_back(self._plan)
        with self._lock:
            self._found = found
        if found.is_well:
            LOG.warning("the baseline is back")
            return
        error = baseline.not_back(self._plan, found)
        LOG.error("%s", error)
        self._notices.put(
            Severity.CRITICAL, f"{self._plan.migration}: the baseline does not come back",
            str(error))

"""The fast path in the observer: requests as they are read from the log, and probes."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from changeover.analysis.fast_path import Alarm, Ended, FastPath
from changeover.analysis.trigger import Firing
from changeover.gateway.accesslog import Entry, Outcome, classify
from changeover.plan.guardrails import MEANINGS, Guardrail
from changeover.plan.model import Plan


class FastWatch:
    """Finds a candidate that answers nobody within two seconds, and names the guardrail for it.

    Args:
        plan: The plan, which may turn the guardrails `errors` and `down` off.
    """

    def __init__(self, plan: Plan) -> None:
        names = (Guardrail.ERRORS, Guardrail.DOWN)
        on = frozenset(str(name) for name in names if plan.guardrails.is_on(name))
        self._lock = threading.Lock()
        self._path = FastPath(on)

    def restart(self) -> None:
        """Forget what failed: users came to the candidate, or back-pressure answers for it."""
        with self._lock:
            self._path.restart()

    def read(self, entries: Iterable[Entry]) -> None:
        """Add requests in the order of the log."""
        # read and judged by two threads: the loop reads, probes answer in their own
        with self._lock:
            for entry in entries:
                outcome = classify(entry)
                if outcome is not None:
                    self._path.add(str(outcome.system), _ended(entry, outcome))

    def probed(self, system: str, at: float, *, is_up: bool) -> None:
        """Add a health probe's result."""
        with self._lock:
            self._path.add_probe(system, at, is_up=is_up)

    def firing(self, now: float) -> Firing | None:
        """Return the guardrail that rolls back now, if one does."""
        with self._lock:
            alarm = self._path.alarm(now)
        return None if alarm is None else _firing(alarm)


def _ended(entry: Entry, outcome: Outcome) -> Ended:
    return Ended(entry.end, outcome.error is not None, entry.key or "")


def _firing(alarm: Alarm) -> Firing:
    # the evidence was complete with this request, within its second
    second = int(alarm.at) - 1
    return Firing(
        f"guardrail {alarm.guardrail}", alarm.reason, second,
        {"metric": MEANINGS[Guardrail(alarm.guardrail)].metric, "of": "candidate",
         "second": second, "requests": alarm.requests, "users": alarm.users,
         "seconds": alarm.seconds, "complete_at": alarm.at},
        # it begins anew when users come, and may need less than a second since then
        is_of_now=True)

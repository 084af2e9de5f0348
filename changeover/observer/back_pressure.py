"""Back-pressure at work: a probe each second, relief at the gateway, levers, and back again.

What it does is decided in `changeover.analysis.back_pressure`. It never waits for the store or for
a lever: users are moved first. What follows is a list in the gateway's `back_pressure.json`, which
a thread of its own works through.

1. The new level, the levers to pull and the events to record are written, as one file.
2. The gateway serves routes that fit.
3. Levers are pulled in order and events recorded; each is removed from its list afterwards. The
   emergency levers have a list and a thread of their own, because the others may hang.

After a kill the list is still there, and the next observer continues with it: a lever may be
pulled twice, but is never forgotten.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from changeover import clock
from changeover.analysis.back_pressure import Action, BackPressureState, Level, decide
from changeover.domain.audit import NewEvent
from changeover.domain.messages import Message, Severity
from changeover.errors import StoreError
from changeover.gateway import reaching
from changeover.observer.throttle import LogOnce
from changeover.observer.traffic import Traffic
from changeover.plan.health import BackPressureSpec
from changeover.plan.systems import SystemSpec
from changeover.procedures import levers
from changeover.site.site import Site
from changeover.store import audit, messages

LOG = logging.getLogger("changeover.observer")

PROBES_AT_ONCE = 4
STANDBY_BAD, STANDBY_GOOD = 3, 5
"""Health answers in a row after which the baseline may not, or may again, be given users."""
FRESH_SECONDS = 2.0
"""An older answer of the baseline says nothing of now: it is asked every second."""
EFFECTS_SECONDS = 0.1
MOST_UNRECORDED = 50
"""Events that wait for the store: the file is written with each change and must stay small."""
STAYING = {True: "", False: "; users stay, because the baseline is not well",
           None: "; users stay, because it is not known yet whether the baseline is well"}
"""What a message says about users, by whether the baseline can serve them."""
BY_PLAN = "; users stay, as the plan says"
_SEVERITY = {
    Level.NORMAL: Severity.INFO, Level.SLOW: Severity.WARNING, Level.FROZEN: Severity.CRITICAL}


class Probe:
    """Measures how long a system takes to answer; never waits longer than `seconds`.

    A thread asks, because a system that trickles its answer would keep a client busy for ever.
    """

    def __init__(self, system: SystemSpec, path: str, seconds: float) -> None:
        self._address, self._seconds = reaching.address(system) + path, seconds
        self._free = threading.Semaphore(PROBES_AT_ONCE)
        self._client = reaching.new_client(
            system, timeout=max(2.0, seconds),
            limits=httpx.Limits(max_connections=PROBES_AT_ONCE, max_keepalive_connections=1))

    def ask(self) -> tuple[float | None, bool]:
        """Return (seconds until the answer, whether it was 2xx); None when none came in time."""
        # Every thread still waits for an answer: the system does not answer in time.
        if not self._free.acquire(blocking=False):
            return None, False
        # a list, not a variable: the thread may still answer when nobody waits any more
        found: list[tuple[float, bool]] = []
        done = threading.Event()
        threading.Thread(target=self._get, args=(found, done), daemon=True).start()
        done.wait(self._seconds)
        return found[0] if found else (None, False)

    def _get(self, found: list[tuple[float, bool]], done: threading.Event) -> None:
        began = time.perf_counter()
        try:
            answer = self._client.get(self._address)
            found.append((time.perf_counter() - began, answer.is_success))
        except (httpx.HTTPError, RuntimeError):  # RuntimeError: closed at the end
            pass
        finally:
            self._free.release()
            done.set()


class LatestProbe:
    """The newest answer of a system that a thread probes every second: nobody waits for it."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._found: tuple[bool, float] | None = None

    def run(self, over: threading.Event) -> None:
        """Probe every second until `over`."""
        while not over.wait(1.0 - time.time() % 1.0):
            self._found = self._probe.ask()[1], time.monotonic()

    def pop(self) -> bool | None:
        """Return once whether the newest answer was good; None when there is no fresh one."""
        # popped: the same answer must not count twice among those in a row
        found, self._found = self._found, None
        return found[0] if found and time.monotonic() - found[1] <= FRESH_SECONDS else None


class Standby:
    """Whether the baseline can serve the candidate's users: several answers in a row decide."""

    def __init__(self) -> None:
        self.is_fit: bool | None = None
        self._row = 0

    def add(self, is_well: bool) -> None:
        """Count a health answer; the first one decides at once."""
        if self.is_fit is None or is_well == self.is_fit:
            self.is_fit, self._row = is_well, 0
            return
        self._row += 1
        if self._row >= (STANDBY_GOOD if is_well else STANDBY_BAD):
            self.is_fit, self._row = is_well, 0


class BackPressure:
    """The back-pressure of one migration.

    Args:
        site: The migration. Without `health.back_pressure` in its plan, what an earlier plan left
            is undone, and nothing else is done. Its store gets events; nothing waits for it.
        traffic: Where the routing state is known.
        log: Where problems are logged.
    """

    def __init__(self, site: Site, traffic: Traffic, log: LogOnce) -> None:
        self.site, self.traffic = site, traffic
        self._log, self._lock = log, threading.Lock()
        self._standby = Standby()
        self._entry: dict[str, Any] = {
            "level": "normal", "withheld": False, "reason": "", "since": "", "relapses": 0,
            "released": None, "urgent": [], "pending": [], "unrecorded": [],
            **site.gateway.back_pressure()}
        self._settled: dict[str, Any] = {}
        self._state = BackPressureState(
            level=Level(self._entry["level"]), relapses=int(self._entry["relapses"]),
            released=self._entry["released"])

    @property
    def is_withholding(self) -> bool:
        """Whether requests meant for the candidate go to the baseline now."""
        return bool(self._entry["withheld"])

    def watch(self, stop: threading.Event) -> None:
        """Probe at every second and do what is decided, until `stop`."""
        spec = self.site.plan.health.back_pressure
        if spec is None:
            self._undo(stop)
            return
        probed = self.site.plan.system(spec.of)
        probe = Probe(probed, spec.path, spec.frozen.total_seconds())
        standby, over = LatestProbe(_health(self.site.plan.systems.baseline)), threading.Event()
        threading.Thread(target=standby.run, args=(over,), daemon=True).start()
        try:
            while not stop.wait(1.0 - time.time() % 1.0):
                self.evaluate(spec, probe.ask()[0], time.time(), standby.pop)
        finally:
            over.set()

    def evaluate(
        self, spec: BackPressureSpec, seconds: float | None, now: float,
        asks: Callable[[], bool | None],
    ) -> None:
        """Evaluate one probe: decide, note it, and have the gateway follow.

        Args:
            spec: The plan's `health.back_pressure`.
            seconds: How long the answer took; None when none came in time.
            now: Unix time.
            asks: Returns whether the baseline is well; None when nothing new is known.
        """
        self._state, action = decide(spec, self._state, seconds, now)
        # only asked while it matters: otherwise the baseline's answers cost a request a second
        if self._state.level is not Level.NORMAL:
            if (is_well := asks()) is not None:
                self._standby.add(is_well and not self.traffic.is_baseline_disabled)
        elif action is not None:
            # the next time begins with nothing known of the baseline
            self._standby = Standby()
        if action is not None:
            self._note(spec, action)
        self._follow()

    def work_off(self, stop: threading.Event) -> None:
        """Pull levers and record events, one after the other, until `stop`."""
        while not stop.wait(EFFECTS_SECONDS):
            # emergency levers first: the others may undo what they do
            if self._entry["pending"] and not self._entry["urgent"]:
                self._pull("pending")
            if self._entry["unrecorded"]:
                self._record(self._entry["unrecorded"][0])

    def work_off_urgent(self, stop: threading.Event) -> None:
        """Pull the emergency levers, whatever else is being pulled, until `stop`."""
        while not stop.wait(EFFECTS_SECONDS):
            if self._entry["urgent"]:
                self._pull("urgent")

    def _note(self, spec: BackPressureSpec, action: Action) -> None:
        names = {Level.NORMAL: spec.on_normal, Level.SLOW: spec.on_slow,
                 Level.FROZEN: spec.on_frozen}[action.level]
        at = clock.now().isoformat()
        staying = STAYING[self._standby.is_fit] if spec.withhold else BY_PLAN
        fit = "" if action.level is Level.NORMAL else staying
        LOG.warning("back-pressure on the %s: %s because of %s%s",
                    spec.of, action.level, action.reason, fit)
        event = {"level": str(action.level), "of": spec.of, "at": at, "levers": names,
                 "reason": action.reason + fit}
        with self._lock:
            # Levers of back-pressure may be overtaken. Those of normal operation may not: they
            # would undo the emergency.
            is_urgent = action.level is Level.FROZEN and not (
                {*self._entry["pending"]} - {*spec.on_slow})
            where = "urgent" if is_urgent else "pending"
            self._entry |= {
                "level": str(action.level), "reason": action.reason, "since": at,
                "relapses": self._state.relapses, "released": self._state.released,
                where: [*self._entry[where], *names],
                "unrecorded": self._with(event),
            }

    def _follow(self) -> None:
        """Bring file and gateway to the wanted state; a failure is retried at the next probe."""
        is_relieved = self._state.level is not Level.NORMAL
        spec = self.site.plan.health.back_pressure
        may_move = spec is None or spec.withhold
        with self._lock:  # also while writing: an older entry must never replace a newer one
            withheld = is_relieved and may_move and self._standby.is_fit is True
            self._entry["withheld"] = withheld
            # the file is looked at, too: somebody may have removed or restored it
            if self._entry == self._settled and self.site.gateway.is_withheld_on_disk() == withheld:
                return
            if not self.site.gateway.withhold(self.site.plan, self.traffic.state, self._entry):
                self._log.problem(
                    "back-pressure", "the gateway does not withhold users as it should yet")
                return
            self._settled = dict(self._entry)
        self._log.fine("back-pressure", "the gateway withholds users as it should again")

    def _undo(self, stop: threading.Event) -> None:
        """Release what an earlier plan's back-pressure withheld."""
        self._state = BackPressureState()
        with self._lock:
            self._entry |= {"level": "normal", "relapses": 0, "released": None, "urgent": [],
                            "pending": []}
        while self.site.gateway.back_pressure() and not stop.wait(EFFECTS_SECONDS):
            self._follow()
            if not self._entry["unrecorded"] and not self.site.gateway.withholds():
                break
        stop.wait()

    def _pull(self, where: str) -> None:
        """Pull the first lever of a list, and remove it from the list."""
        name = str(self._entry[where][0])
        # an amended plan may not have the lever any more: then nothing is pulled
        problem = levers.pull(self.site.plan, name) if name in self.site.plan.levers else ""
        event = {"lever": name, "problem": problem, "at": clock.now().isoformat()}
        # Removed only after it was pulled: a kill in between pulls it twice, never not at all.
        with self._lock:
            self._entry[where] = self._entry[where][1:]
            self._entry["unrecorded"] = self._with(event)
            self._save()

    def _record(self, event: dict[str, Any]) -> None:
        """Audit an event once and notify about a new level; retried while the store is away."""
        kind = "lever.pulled" if "lever" in event else f"back_pressure.{event['level']}"
        key = f"back-pressure-{event['at']}-{event.get('lever', kind)}"
        try:
            if "level" in event and self.site.plan.notify:
                title = f"back-pressure of {self.site.migration}: the {event['of']} is " \
                    f"{event['level']}"
                messages.put(self.site.store, Message(
                    self.site.migration, key=key, severity=_SEVERITY[Level(event["level"])],
                    title=title, body=event["reason"], at=clock.now()))
            audit.record(self.site.store, self.site.migration, NewEvent(
                actor="back-pressure", kind=kind, at=clock.now(), data=event, once_key=key))
        except StoreError as error:
            self._log.problem(
                "back-pressure events", f"events of back-pressure are not recorded because {error}")
            return
        self._log.fine("back-pressure events", "events of back-pressure are recorded again")
        with self._lock:
            self._entry["unrecorded"] = self._entry["unrecorded"][1:]
            self._save()

    def _with(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events that wait to be recorded, with another one."""
        # the newest are kept: the file says what is true now, the audit what was
        return [*self._entry["unrecorded"], event][-MOST_UNRECORDED:]

    def _save(self) -> None:
        """Save what is left to do; the gateway follows at the next probe."""
        self.site.gateway.withhold(self.site.plan, self.traffic.state, self._entry, timeout=0)


def _health(spec: SystemSpec) -> Probe:
    return Probe(spec, spec.health, spec.health_timeout.total_seconds())

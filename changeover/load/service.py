"""The load service: runs what is wanted, and ends it as soon as it no longer is.

1. Twice a second the store and the gateway's files say what is wanted. A store that cannot be read
   says nothing, so nothing runs.
2. All requests leave this process: whoever kills it ends them. It is the only one with the lock.
3. Requests through the gateway have the mark by which they are in no metric, unless the plan says
   that they count.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from dataclasses import replace
from pathlib import Path

from changeover import clock
from changeover.checks.suites.target import CheckTarget
from changeover.domain.audit import NewEvent
from changeover.domain.instructions import open_pause
from changeover.errors import ChangeoverError, StoreError
from changeover.gateway.envoy.synthetic import MARK_HEADER, TOLD, TOLD_HEADER
from changeover.gateway.routes_on_disk import load_mark
from changeover.load.steady import Steady
from changeover.load.wanted import Load, Situation, wanted, why_none
from changeover.observer.throttle import LogOnce, Throttle
from changeover.site.site import Site
from changeover.store import audit, cutovers, heartbeats, instructions, routing

LOG = logging.getLogger("changeover.load")
LOOK_SECONDS = 0.5
BEAT_SECONDS = 5.0
ACTOR = "load"


class LoadService:
    """Runs the synthetic load of one migration.

    Args:
        site: The migration on this machine.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._running: dict[Load, tuple[Steady, asyncio.Task[None]]] = {}
        self._log, self._throttle = LogOnce(), Throttle()
        self._why_none = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Run what is wanted until `stop`."""
        try:
            while not stop.is_set():
                found = await asyncio.to_thread(self._look)
                await self._follow(found)
                # people see by it what runs, and health checks that somebody is there
                if self._throttle.is_due("beat", BEAT_SECONDS):
                    await asyncio.to_thread(self._beat)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        finally:
            self._why_none = "the service ends"
            await self._follow(())

    def _look(self) -> tuple[Load, ...]:
        try:
            seen = situation(self._site)
        except StoreError as error:
            self._log.problem("store", f"no load because {error}")
            self._why_none = "the store cannot be read"
            return ()
        self._log.fine("store", "the store is back")
        self._why_none = why_none(seen) or "the candidate is spared, or the plan has none"
        return wanted(self._site.plan, seen)

    async def _follow(self, found: tuple[Load, ...]) -> None:
        """Start what is wanted and does not run, end what runs and is not wanted."""
        # one that broke is begun anew
        over = [each for each, (_, task) in self._running.items()
                if each not in found or task.done()]
        for load in over:
            steady, task = self._running.pop(load)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            facts = {**vars(steady.counts), "reason": self._why_none}
            await asyncio.to_thread(self._note, "load.ended", load, facts)
            LOG.info("%s ended because %s: %s", load.title, self._why_none, steady.counts.text)
        for load in found:
            if load not in self._running:
                await asyncio.to_thread(self._note, "load.began", load, {})
                steady = self._steady(load)
                self._running[load] = steady, asyncio.create_task(steady.run())
                LOG.info("%s begins", load.title)

    def _steady(self, load: Load) -> Steady:
        plan, spec = self._site.plan, load.spec
        way = CheckTarget.of(self._site).way(spec.of)
        headers = {TOLD_HEADER: TOLD}
        if spec.of == "gateway":  # which tells the systems itself
            headers = {} if spec.measured else {MARK_HEADER: load_mark(self._site.gateway.files)}
        return Steady(load, way, headers, plan.routing.carrying)

    def _note(self, kind: str, load: Load, facts: dict[str, object]) -> None:
        try:
            audit.record(self._site.store, self._site.migration, NewEvent(
                actor=ACTOR, kind=kind, at=clock.now(),
                data={"stage": load.stage, "load": load.spec.text, **facts}))
        except ChangeoverError as error:
            LOG.warning("%s is not in the audit because %s", kind, error)

    def _beat(self) -> None:
        told = [f"{load.title}: {steady.counts.text}"
                for load, (steady, _) in self._running.items()]
        with contextlib.suppress(StoreError):
            own = heartbeats.service_of(self._site.migration, ACTOR)
            heartbeats.beat(self._site.store, own, pid=os.getpid(), detail="; ".join(told),
                            now=clock.now())


def situation(site: Site) -> Situation:
    """Return what the store and the gateway say now.

    Raises:
        StoreError: The store cannot be read.
    """
    gateway, store = site.gateway, site.store
    state = routing.read(store, site.migration)
    cutover = cutovers.active(store, site.migration)
    seen = Situation(state, cutover, is_glass_broken=gateway.journal() is not None,
                     is_withheld=gateway.withholds())
    if cutover is None:
        return seen
    given = instructions.all_of(store, cutover.id)
    return replace(seen, stages=tuple(cutovers.stages(store, cutover.id)),
                   is_paused=open_pause(given) is not None)


def only_one(lock: Path) -> int | None:
    """Lock a file for as long as this process lives; None while another one has it."""
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle

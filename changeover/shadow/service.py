"""The shadow service: receives tapped exchanges, asks the candidate, compares, stores.

No user waits for anything here. What cannot be handled (full queue, busy host, locked store) is
dropped and counted. Every count is shown beside the scores as their coverage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import psutil

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.domain.comparisons import Compared
from changeover.domain.routing import RoutingState, System, decide, decide_by_bucket
from changeover.domain.segment_matching import segments_of
from changeover.errors import ChangeoverError, Unreachable
from changeover.gateway.admin import Admin
from changeover.gateway.envoy import tap
from changeover.gateway.envoy.user_key import KEY_HEADER
from changeover.plan.model import Plan
from changeover.shadow.comparing import Compares, Comparing, Work, most_at_once
from changeover.shadow.helpers import Helpers, cores, wanted
from changeover.shadow.tap import Exchange, TapServer
from changeover.shadow.writing import InThisProcess, Writes
from changeover.site.site import Site
from changeover.store import comparisons, heartbeats, retention, routing

LOG = logging.getLogger("changeover.shadow")

FLUSH_SECONDS = 0.5
FOLLOW_SECONDS = 1.0
BEAT_SECONDS = 5.0
PRUNE_SECONDS = 60.0
STOP_SECONDS = 2.0
"""How long copies under way may take when the service must end."""
MOST_UNLIKE = 2
"""Looks, one a second, in which a gateway may serve other routes than the store says: while they
are published."""
MOST_UNSAVED = 20_000
KEPT_A_SECOND = 20
_UNTAPPED = {
    "dropped: gateway's limit of streams": ("upstream_rq_active_overflow",
                                            "upstream_rq_pending_overflow"),
    "dropped: service did not answer": ("upstream_cx_none_healthy",
                                        "upstream_rq_pending_failure_eject"),
}
"""Why the gateway could not send an exchange here, and which of its counters say so."""
_COUNTERS = "|".join(name for names in _UNTAPPED.values() for name in names)


class Shadow:
    """Shadows one migration.

    Args:
        site: The migration on this machine; its plan's `shadow` part must be there.
        chance: Source of randomness, for the order of calls and the choice of noise pairs.
        now: Returns the time, for what is saved and for rules that expire.
        writes: Who writes to the store; default: a thread of this process.
    """

    def __init__(
        self, site: Site, *, chance: random.Random | None = None,
        now: clock.Clock = clock.now, writes: Writes | None = None,
    ) -> None:
        plan, files = site.plan, site.home.gateway_files
        if plan.shadow is None:
            raise ValueError("the plan has no shadow part")
        self.site, self.plan, self.spec = site, plan, plan.shadow
        self._writes = writes or InThisProcess(site.store)
        self.state: RoutingState | None = None
        self.counts: Counter[str] = Counter()
        self.tap = TapServer(files.tap_socket, self.offer, is_wanted=self.is_wanted)
        self._now = now
        self._comparing = _compares(plan, chance, now)
        self._pause()
        self._queue: asyncio.Queue[Exchange] = asyncio.Queue(self.spec.queue)
        self._unsaved: list[Compared] = []
        self._saving = asyncio.Lock()
        self._is_busy = False
        self._unlike = 0
        self._second = self._kept = 0
        self._admin = Admin(files.admin_socket)
        self._untapped: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Shadow until `stop` is set; then finish what is under way, and save what is known.

        What waits then, or takes longer than `STOP_SECONDS`, is counted as dropped.
        """
        await self.tap.start()
        # No more than may call at once: a copy that waits in a worker is not seen as queued.
        workers = most_at_once(self.plan, System.CANDIDATE)
        tasks = [asyncio.create_task(self._work()) for _ in range(workers)]
        for seconds, action in (
            (FLUSH_SECONDS, self._save),
            (FOLLOW_SECONDS, self._follow),
            (FOLLOW_SECONDS, self._measure_load),
            (FOLLOW_SECONDS, self._count_untapped),
            (BEAT_SECONDS, self._beat),
            (PRUNE_SECONDS, self._prune),
        ):
            tasks.append(asyncio.create_task(self._every(seconds, action)))
        tasks.append(asyncio.create_task(self._comparing.run()))
        LOG.info("shadowing %s", self.site.migration)
        await stop.wait()
        await self.tap.stop()
        await self._finish(tasks)
        await self._comparing.close()

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait for what is under way, end the tasks, and save."""
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()
            self.counts["dropped: stopped"] += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), STOP_SECONDS)
        # A batch that is being saved is not cancelled: nobody would know what of it is there.
        async with self._saving:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._save()
        except ChangeoverError as error:
            LOG.error("%d comparisons are lost because %s", len(self._unsaved), error)

    def is_wanted(self) -> bool:
        """Whether an exchange could be compared now; counts why not, before it is read."""
        why = self._why_none()
        if why:
            self.counts[why] += 1
        return not why

    def offer(self, exchange: Exchange) -> None:
        """Queue an exchange, or count why not. Never waits."""
        why = self._why_none() or self._why_not(exchange)
        if why:
            self.counts[why] += 1
        else:
            self._queue.put_nowait(exchange)

    def _why_none(self) -> str:
        """Return why no exchange at all is taken now; empty when one is."""
        if why := self._why_paused():
            return why
        return "dropped: queue full" if self._queue.full() else ""

    def _why_paused(self) -> str:
        """Return why no copy may be sent now; empty when one may."""
        state = self.state
        if state is None or not state.copied:
            return "dropped: not shadowing"
        if self._unlike > MOST_UNLIKE:
            return "dropped: gateway serves other routes"
        return "dropped: host busy" if self._is_busy else ""

    def _why_not(self, exchange: Exchange) -> str:
        if exchange.is_cut:
            return "dropped: body too large"
        if not self.spec.copies(exchange.method, exchange.path):
            return "dropped: not in methods or replay_unsafe"
        # Then the user's answer is the candidate's: there is none of the baseline to compare with.
        if self.state and self._decided(self.state, exchange) is System.CANDIDATE:
            return "served by the candidate"
        return ""

    def _decided(self, state: RoutingState, exchange: Exchange) -> System:
        segments, plain = self._segments(exchange), self.plan.routing.plain_header
        if plain is not None:
            key, rule = exchange.values(plain), self.plan.routing.rule
            return decide(state, key, segments, rule=rule)
        # The gateway's script has found the bucket, also of a user who gets a cookie just now.
        found = exchange.values(KEY_HEADER)
        return decide_by_bucket(state, int(found[0]) if found else None, segments)

    def _segments(self, exchange: Exchange) -> frozenset[str]:
        def values(name: str) -> list[bytes]:
            return [each.encode("utf-8", "surrogateescape") for each in exchange.values(name)]

        path = exchange.path.encode("utf-8", "surrogateescape")
        return segments_of(self.plan.routing.segments, values, path)

    async def _work(self) -> None:
        while True:
            exchange = await self._queue.get()
            try:
                await self._handle(exchange)
            except asyncio.CancelledError:
                self.counts["dropped: stopped"] += 1
                raise
            # One odd exchange must not end the worker; it is counted and logged.
            except Exception:
                self.counts["dropped: not comparable"] += 1
                LOG.exception("an exchange could not be compared")
            finally:
                self._queue.task_done()

    async def _handle(self, exchange: Exchange) -> None:
        """Compare an exchange, or count why not.

        It may have waited for minutes. After a rollback, or when the host is busy, it is not sent
        any more.
        """
        found = await self._comparing.compare(exchange, saves_answers=self._may_save_answers())
        if isinstance(found, str):
            self.counts[found] += 1
        else:
            self._add_unsaved(found)

    def _may_save_answers(self) -> bool:
        """Whether this pair's answers are saved; the limit makes `keep` last for a while."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._kept = second, 0
        self._kept += 1
        return self.spec.keep > 0 and self._kept <= KEPT_A_SECOND

    def _add_unsaved(self, one: Compared) -> None:
        if len(self._unsaved) < MOST_UNSAVED:
            self._unsaved.append(one)
        else:
            self.counts["dropped: store locked"] += 1

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """Run periodically; log failures and retry."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await action()
            except ChangeoverError as error:
                LOG.error("%s", error)
            except Exception:  # unforeseen: the next attempt may work
                LOG.exception("a part of the shadow service failed and is retried")

    async def _save(self) -> None:
        """Save what was compared; it stays in memory when the store cannot be written."""
        async with self._saving:
            batch, self._unsaved = self._unsaved, []
            counts, self.counts = self.counts, Counter()
            incomplete, self.tap.incomplete = self.tap.incomplete, 0
            seen, self.tap.seen = self.tap.seen, 0
            counts.update({"dropped: incomplete": incomplete, "seen": seen})
            await self._write(batch, +counts)

    async def _write(self, batch: list[Compared], counts: Counter[str]) -> None:
        """Write a batch; when something in it cannot be stored, write everything else.

        Halves are tried until the faulty comparison is alone: it is dropped, counted and logged.
        """
        parts = [batch]
        while parts:
            part = parts.pop(0)
            if not part and not counts:
                continue
            try:
                await asyncio.to_thread(
                    self._writes.do, comparisons.write, self.site.migration, part, counts,
                    gateway=self.site.gateway.name, now=self._now())
                counts = Counter()
            except ChangeoverError:
                # The store is locked or gone: all of it waits, in order, for the next attempt.
                waiting = list(part)
                for each in parts:
                    waiting += each
                self._unsaved = waiting + self._unsaved
                self.counts.update(counts)
                raise
            except Exception:
                if len(part) > 1:
                    parts[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
                    continue
                LOG.exception("a comparison could not be stored")
                if part:
                    counts["dropped: not storable"] += 1
                    parts = parts or [[]]
                else:
                    self.counts.update(counts)

    async def _follow(self) -> None:
        state = await asyncio.to_thread(routing.read, self.site.store, self.site.migration)
        await self._compare_routes(state)
        # both at once: what is taken by the state must not find those that compare paused
        self.state = state
        self._pause()

    async def _compare_routes(self, state: RoutingState) -> None:
        """Note whether the gateway serves what the store says: else nobody knows whose answers
        users get, as where the node's agent is away."""
        try:
            served = await asyncio.to_thread(self._admin.served)
        # then it sends nothing either
        except Unreachable:
            self._unlike = 0
            return
        is_like = served.version in (None, state.order)
        self._unlike = 0 if is_like else self._unlike + 1

    async def _measure_load(self) -> None:
        self._is_busy = psutil.cpu_percent(interval=None) > self.spec.max_load * 100
        self._pause()

    def _pause(self) -> None:
        """Have no copy sent any more, or sent again, as things stand now."""
        self._comparing.pause(self._why_paused())

    async def _count_untapped(self) -> None:
        """Count what the gateway could not even send here since this process started."""
        try:
            found = await asyncio.to_thread(
                self._admin.counters, f"^cluster[.]{tap.CLUSTER}[.]({_COUNTERS})$")
        # The gateway starts after this service, and may be started again.
        except Unreachable:
            return
        known, self._untapped = self._untapped, {}
        for why, names in _UNTAPPED.items():
            number = 0
            for name in names:
                number += found.get(f"cluster.{tap.CLUSTER}.{name}", 0)
            self._untapped[why] = number
            # What was there when this process started is not its own. Fewer than before: Envoy
            # was started again, and counts from zero.
            before = known.get(why, number)
            missed = number - before if number >= before else number
            if missed:
                self.counts[why] += missed
                self.counts["seen"] += missed

    async def _beat(self) -> None:
        own = heartbeats.service_of(
            self.site.migration, service_of(self.site.gateway.name))
        await asyncio.to_thread(
            self._writes.do, heartbeats.beat, own, pid=os.getpid(), detail=self._comparing.text,
            now=clock.now())

    async def _prune(self) -> None:
        await asyncio.to_thread(
            self._writes.do, retention.prune, self.site.migration, keep=self.spec.keep,
            keep_for=self.spec.keep_for, keep_bytes=self.spec.keep_size, now=clock.now(),
        )


def service_of(gateway: str) -> str:
    """Return the name under which the service of a gateway's tap gives its signs of life."""
    return "shadow" if gateway == MAIN_GATEWAY else f"shadow {gateway}"


def _compares(plan: Plan, chance: random.Random | None, now: clock.Clock) -> Compares:
    """Return what compares: this process, or several others."""
    number = wanted(plan, cores())
    if number == 1:
        return Comparing(Work(plan), chance=chance, now=now)
    return Helpers(Work(plan, among=number))

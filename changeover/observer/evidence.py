"""Evidence for triggers that compare with the baseline: of the stage so far, every few seconds.

It is the evidence of gates, with the same sums. Differences: nothing is left out while a stage
settles, and it works while the store is away, from sums in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from changeover import clock
from changeover.analysis.sequential.memo import Memo
from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.slices import REPORTED_TO, Slice
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.sequential.watching import Weighed, weigh_trigger
from changeover.domain.rollout import StageRecord, StageStatus
from changeover.domain.routing import BUCKETS, TRIED, RoutingState
from changeover.domain.stages import split_of
from changeover.errors import StoreError
from changeover.observer.slice_log import SliceLog
from changeover.observer.traffic import Traffic
from changeover.procedures.bucket_evidence import hours_of, questions
from changeover.procedures.counting import as_watched
from changeover.site.site import Site
from changeover.store import cutovers

FIRST_PAUSE_SECONDS, PAUSE_SECONDS = 1.0, 2.0
MOST_OF_A_SECOND = 0.012
"""Weighing takes at most this part of a core: the more it costs, the longer the pause."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """What does not change while a stage lasts."""

    record: StageRecord
    weight: int
    past: Slice
    memo: Memo = field(default_factory=Memo)


class TriggerEvidence:
    """Weighs the evidence of all triggers that need it.

    Args:
        site: The migration on this machine.
        traffic: Where users are.
        slice_log: Has the sums of the stage in memory.
        has_nodes: Whether other gateways have sums of their own, in the store only.
    """

    def __init__(
        self, site: Site, traffic: Traffic, slice_log: SliceLog,
        has_nodes: Callable[[], bool] = lambda: False,
    ) -> None:
        self._site, self._traffic, self._slice_log = site, traffic, slice_log
        self._has_nodes = has_nodes
        self._specs = [spec for spec in site.plan.triggers if spec.is_sequential]
        self._stage: _Stage | None = None
        self.pause = FIRST_PAUSE_SECONDS

    @property
    def is_needed(self) -> bool:
        """Whether the plan has such a trigger."""
        return bool(self._specs)

    def weigh(self) -> dict[str, Weighed]:
        """Return what the evidence says of each trigger now; nothing while users were moved.

        Raises:
            StoreError: The store cannot be read, and nothing is known of the present stage.
        """
        # compared again below: a rollback may come while the evidence is weighed
        before = self._traffic.state
        stage = self._present()
        if stage is None:
            return {}
        # the thread's own time: waiting for others costs no processor
        start = time.thread_time()
        self._slice_log.collect()
        sums = self._sums(stage)
        found = {spec.name: weigh_trigger(spec, sums) for spec in self._specs}
        spent = time.thread_time() - start
        self.pause = max(PAUSE_SECONDS, spent / MOST_OF_A_SECOND)
        after = self._traffic.state
        is_same = (before.epoch, before.weight, before.routes) == (
            after.epoch, after.weight, after.routes)
        return found if is_same else {}

    def _present(self) -> _Stage | None:
        """Return the stage whose users are compared; None when there is none."""
        state = self._traffic.state
        if state.mode not in TRIED or not self._may_be_split(state):
            return None
        try:
            record = self._record()
        except StoreError:
            known = self._stage
            if known is None or known.weight != self._split(known.record, state):
                raise
            return known  # the store is away: the stage is the one that it was
        if record is None:
            return None
        weight = self._split(record, state)
        if not 0 < weight < BUCKETS:
            return None
        known = self._stage
        if known and (known.record.entered_at, known.weight) == (record.entered_at, weight):
            return known
        return self._begin(record, weight)

    def _may_be_split(self, state: RoutingState) -> bool:
        shares = (state.weight, *(weight for _, weight in state.routes))
        return any(0 < weight < BUCKETS for weight in shares)

    def _split(self, record: StageRecord, state: RoutingState) -> int:
        return split_of(self._site.plan.stage(record.key), state)

    def _record(self) -> StageRecord | None:
        site = self._site
        cutover = cutovers.active(site.store, site.migration)
        stages = cutovers.stages(site.store, cutover.id) if cutover else []
        # after a rollback the newest stage is still the last one: nobody is compared then
        is_open = bool(stages) and stages[-1].status is not StageStatus.ROLLED_BACK
        return as_watched(site, stages[-1]) if is_open else None

    def _begin(self, record: StageRecord, weight: int) -> _Stage:
        site, end = self._site, clock.now()
        known = [each for each in site.bucket_sums.of_split(
            weight, start=record.entered_at, end=end)
            if each.gateway == site.gateway.name]
        past = site.bucket_sums.past(record.entered_at)
        # rounded up: the second in which it began is not wholly the stage's
        self._slice_log.tally.begin(weight, -int(-record.entered_at.timestamp() // 1), known)
        self._stage = _Stage(record, weight, past)
        return self._stage

    def _parts(self, stage: _Stage) -> list[Slice]:
        """Return the sums of the stage: from memory, and with nodes from the store."""
        if not self._has_nodes():
            return self._slice_log.tally.parts()
        try:
            found = list(self._site.bucket_sums.of_split(
                stage.weight, start=stage.record.entered_at, end=clock.now()))
        # the nodes' part is unknown then, the own one is not
        except StoreError:
            return self._slice_log.tally.parts()
        of_requests = [each for each in found if each.gateway != REPORTED_TO]
        return into_parts(of_requests, int(clock.now().timestamp()))

    def _sums(self, stage: _Stage) -> StageSums:
        site, parts = self._site, self._parts(stage)
        stage.memo.forget(parts)
        spec = site.plan.stage(stage.record.key)
        return StageSums(
            weight=stage.weight, parts=parts, past=stage.past,
            start=stage.record.entered_at, end=clock.now(), checks=questions(site.plan, spec),
            bounds=self._slice_log.bounds, hours=hours_of(spec), memo=stage.memo)

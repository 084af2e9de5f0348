"""How the cutover stands: stage, soak, questions to people, rollbacks."""

from __future__ import annotations

from itertools import chain

from changeover.console.exposition.family import Bound, Family, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.instructions import open_pause
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.store import approvals, carriers, cutovers, instructions, rollbacks

NONE = "none"
"""The state where there is no cutover, stage or rollback."""
CUTOVER = Family(
    "cutover", "1 for how the newest cutover stands; none before the first.", ("status",),
    Bound("status", len(CutoverStatus) + 1))
STARTED = Family(
    "cutover_started_timestamp_seconds", "When the newest cutover began, as Unix time.")
STAGE = Family(
    "stage_info", "1 for the stage that the cutover is in.", ("stage", "phase"),
    Bound("stage that the cutover is in", 1))
STAGE_STATUS = Family(
    "stage", "1 for how that stage stands; none while no cutover runs.", ("status",),
    Bound("status", len(StageStatus) + 1))
NUMBER = Family("stage_number", "Number of that stage in the plan, from 1.")
STAGES = Family("plan_stages", "Stages of the plan.")
ENTERED = Family("stage_entered_timestamp_seconds", "When that stage began, as Unix time.")
REMAINING = Family(
    "soak_remaining_seconds",
    "Time until the soak of that stage ends and its gates are judged; 0 when it has ended.")
PAUSED = Family("paused", "1 while a person has paused the cutover.")
WAITING = Family("approvals_waiting", "Questions that wait for a person.")
AGE = Family(
    "approval_age_seconds", "Since when the question of a stage has waited for a person.",
    ("stage",), Bound("stage that is asked about", 1))
ENDED_RUNS = Family("ended_runs", "Pieces of work that no flow run carries on.")
ROLLBACK = Family(
    "rollback", "1 for how the newest rollback stands; none before the first.", ("status",),
    Bound("status", len(RollbackStatus) + 1))
ROLLED_BACK = Family(
    "rollback_started_timestamp_seconds", "When the newest rollback began, as Unix time.")
FAMILIES = (
    CUTOVER, STARTED, STAGE, STAGE_STATUS, NUMBER, STAGES, ENTERED, REMAINING, PAUSED, WAITING,
    AGE, ENDED_RUNS, ROLLBACK, ROLLED_BACK,
)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add the newest cutover with its stage, what waits for people, and the newest rollback."""
    cutover, running = scene.cutover, scene.running
    status = str(cutover.status) if cutover else NONE
    scrape.add_state(CUTOVER, chain(map(str, CutoverStatus), (NONE,)), status)
    if cutover is not None:
        scrape.add(STARTED, cutover.started_at.timestamp())
    scrape.add(STAGES, len(scene.site.plan.stages()))
    record = _record(scene, running)
    stands = str(record.status) if record else NONE
    scrape.add_state(STAGE_STATUS, chain(map(str, StageStatus), (NONE,)), stands)
    if record is not None:
        _add_stage(scene, scrape, record)
    scrape.add(PAUSED, running is not None and _is_paused(scene, running))
    _add_waiting(scene, scrape)
    _add_rollback(scene, scrape)


def _record(scene: Scene, running: Cutover | None) -> StageRecord | None:
    """Return the stage that the running cutover is in; None while none runs."""
    if running is None:
        return None
    known = cutovers.stages(scene.store, running.id)
    return known[-1] if known else None


def _add_stage(scene: Scene, scrape: Scrape, record: StageRecord) -> None:
    # a plan that was amended may not have it any more
    phases = {each.key: str(each.phase) for each in scene.site.plan.stages()}
    scrape.add(STAGE, 1.0, record.key, phases.get(record.key, ""))
    scrape.add(NUMBER, record.index + 1)
    scrape.add(ENTERED, record.entered_at.timestamp())
    if record.status is StageStatus.SOAKING:
        left = (record.soak_until - scene.now).total_seconds()
        scrape.add(REMAINING, max(0.0, left))


def _is_paused(scene: Scene, running: Cutover) -> bool:
    return open_pause(instructions.all_of(scene.store, running.id)) is not None


def _add_waiting(scene: Scene, scrape: Scrape) -> None:
    asked = approvals.open_for(scene.store, scene.migration)
    scrape.add(WAITING, asked is not None)
    if asked is not None:
        age = (scene.now - asked.asked_at).total_seconds()
        scrape.add(AGE, max(0.0, age), asked.stage)
    ended = carriers.ended(scene.store, scene.migration)
    scrape.add(ENDED_RUNS, len(ended))


def _add_rollback(scene: Scene, scrape: Scrape) -> None:
    found = rollbacks.latest(scene.store, scene.migration)
    status = str(found.status) if found else NONE
    scrape.add_state(ROLLBACK, chain(map(str, RollbackStatus), (NONE,)), status)
    if found is not None:
        scrape.add(ROLLED_BACK, found.started_at.timestamp())

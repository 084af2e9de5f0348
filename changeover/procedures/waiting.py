"""Why a cutover that could go on waits: people, the plan's hours, or another member of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.domain import instructions
from changeover.domain.audit import NewEvent
from changeover.domain.run_ends import PrefectState
from changeover.errors import Refused
from changeover.plan.model import Plan, Stage
from changeover.plan.windows import WindowSpec, next_open
from changeover.procedures.steps import CutoverRun
from changeover.site.prefect_rows import FlowRun
from changeover.site.site import Site
from changeover.store import audit, freezes, members, upcoming
from changeover.store import instructions as stored

SOAKING, PAUSED, FROZEN = "Soaking", "Paused", "Frozen"
OUTSIDE, BEHIND = "OutsideHours", "WaitingForGroup"
SLEEPS = (SOAKING, PAUSED, FROZEN, OUTSIDE, BEHIND)
"""Names of the states in which a run sleeps until the store's time has come."""
LOOK_AGAIN = timedelta(hours=1)
"""A run that people stopped looks again by itself, should nobody have woken it."""
SOON = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Wait:
    """Why the cutover waits.

    Args:
        name: Name of the run's state in Prefect.
        text: One sentence for people.
        until: When to look again.
        stage: Key of the stage that waits for others of its group; else empty.
    """

    name: str
    text: str
    until: datetime
    stage: str = ""


def why_wait(run: CutoverRun, stage: Stage | None, now: datetime) -> Wait | None:
    """Return why users may not be moved now, for whatever comes; None when they may.

    Args:
        run: The cutover.
        stage: The stage that would begin; None for what follows the last one.
        now: The present moment.
    """
    # a pause first: it is the stronger word, since not even the soak counts then
    pause = why_paused(run, now)
    if pause is not None:
        return pause
    freeze = freezes.active(run.site.store, run.migration, now=now)
    if freeze is not None:
        # not only at its end: somebody may end the freeze before
        latest = now + LOOK_AGAIN
        until = min(freeze.until or latest, latest)
        text = f"{freeze.text}; `changeover freeze off` ends it"
        return Wait(FROZEN, text, until)
    windows = windows_of(run.site.plan, stage)
    return _outside(windows, now) or _behind(run.site, stage, now)


def _behind(site: Site, stage: Stage | None, now: datetime) -> Wait | None:
    """Return which members of the group must come further first; the observer wakes the run."""
    text = members.why_wait(site.store, site.plan, stage)
    if not text or stage is None:
        return None
    said = f"{stage.title} waits: {text}"
    return Wait(BEHIND, said, now + LOOK_AGAIN, stage.key)


def note(run: CutoverRun, wait: Wait, *, now: datetime) -> None:
    """Record in the audit that a stage waits for others of its group, once for each stage."""
    if not wait.stage:
        return
    data = {"cutover": run.id, "stage": wait.stage, "reason": wait.text}
    # once: it looks again every hour, and whenever it is woken
    key = f"waits-{run.id}-{wait.stage}"
    event = NewEvent(
        actor=f"cutover {run.id}", kind="stage.waits", at=now, data=data, once_key=key)
    audit.record(run.site.store, run.migration, event)


def why_paused(run: CutoverRun, now: datetime) -> Wait | None:
    """Return why not even a soak counts now; None while the cutover is not paused."""
    given = stored.all_of(run.site.store, run.id)
    pause = instructions.open_pause(given)
    if pause is None:
        return None
    text = f"paused by {pause.actor}: {pause.reason}; `changeover resume` goes on"
    return Wait(PAUSED, text, now + LOOK_AGAIN)


def windows_of(plan: Plan, stage: Stage | None) -> tuple[WindowSpec, ...]:
    """Return when a stage may begin: its own windows, its phase's, or the plan's."""
    # a stage without its own has those of its phase
    own = stage.allowed if stage is not None else ()
    return own or tuple(plan.allowed)


def following(run: CutoverRun, key: str) -> Stage | None:
    """Return the stage after the one called `key`, without those that people left out.

    None after the last.
    """
    return upcoming.stage_after(run.site.store, run.id, run.site.plan, key)


def _outside(windows: tuple[WindowSpec, ...], now: datetime) -> Wait | None:
    opens = next_open(windows, now)
    if opens == now:
        return None
    listed = "; ".join(window.text for window in windows)
    text = f"users are moved only in {listed}"
    # no window ever opens: the plan may be amended
    if opens is None:
        return Wait(OUTSIDE, text, now + LOOK_AGAIN)
    return Wait(OUTSIDE, f"{text}; that is from {opens:%F %T} UTC on", opens)


def refuse_now(site: Site, what: str, now: datetime) -> None:
    """Refuse to move users by hand while the migration is frozen, or outside the plan's hours.

    Raises:
        Refused: Not now.
    """
    freeze = freezes.active(site.store, site.migration, now=now)
    if freeze is not None:
        why = f"{what} because the migration is {freeze.text}"
        raise Refused(
            why, next_step="`changeover freeze off --reason TEXT` ends it")
    outside = _outside(tuple(site.plan.allowed), now)
    if outside is not None:
        why = f"{what} because {outside.text}"
        raise Refused(
            why, next_step="Change `allowed` in the plan, or wait; "
            "a rollback is possible at any time")


def is_asleep(run: FlowRun, now: datetime) -> bool:
    """Whether a run sleeps until the store's time has come."""
    if run.state_type != PrefectState.SCHEDULED or run.state_name not in SLEEPS:
        return False
    # one that Prefect starts within seconds need not be woken
    due = run.scheduled_for
    return due is not None and due > now + SOON

"""From the store's rows to a daily summary."""

from __future__ import annotations

from datetime import datetime, timedelta

import changeover
from changeover.comparison.noise import Judgement
from changeover.domain import run_ends
from changeover.domain.approvers import rules_of
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.rollout import CutoverStatus
from changeover.plan.model import Plan
from changeover.shadow import scores
from changeover.site import trigger_status
from changeover.store import (
    approvals,
    audit,
    carriers,
    firings,
    health_results,
    rollbacks,
    routing,
)
from changeover.store.engine import Store
from reports import reading, timeline
from reports.daily import rules
from reports.daily.model import DailySummary, StageNow, Waiting
from reports.evidence import collect_progress
from reports.kind import Ask
from reports.model import Progress, StageStanding

DAY = timedelta(hours=24)
PASSED_VIEWS = (StageStanding.PROMOTED, StageStanding.SKIPPED)


def collect(store: Store, plan: Plan, ask: Ask) -> DailySummary:
    """Return the summary of the time that ends now.

    Args:
        store: The store.
        plan: The migration's plan.
        ask: When it ends; `hours` is how long it is, by default 24.
    """
    end, start = ask.now, ask.since or ask.now - DAY
    progress = collect_progress(store, plan, None, now=end)
    titles = {stage.key: stage.title for stage in plan.stages()}
    events = audit.events(store, plan.migration)
    every = timeline.moments(events, titles, start=start, end=end)
    changes, others = rules.worth_telling(every)
    found = scores.collect(store, plan.migration) if plan.shadow else None
    differences = found.findings if found else ()
    coverage = found.coverage if found else {}
    return DailySummary(
        migration=plan.migration, day=f"{end:%Y-%m-%d}", generated_at=end,
        changeover_version=changeover.__version__, systems=reading.system_names(plan),
        start=start, end=end, headline=progress.headline, routing=progress.routing,
        progress=_stage_now(progress), changes=changes, more_changes=others,
        waiting=_waiting(store, plan, end),
        figures=reading.figures_of(store, plan, start, end),
        figures_before=reading.figures_of(store, plan, start - (end - start), start),
        health=rules.health_of_day(
            health_results.latest(store, plan.migration),
            health_results.since(store, plan.migration, since=start)),
        firings=tuple(each for each in firings.all_of(store, plan.migration, since=start)
                      if each.fired_at <= end),
        triggers=tuple(trigger_status.triggers(store, plan, now=end)),
        new_differences=tuple(
            each for each in differences
            if each.place.first_seen >= start and each.place.diverged),
        regressions=sum(
            each.verdict.judgement is Judgement.REGRESSION for each in differences),
        compared=(coverage.get("compared", 0), coverage.get("matched", 0)) if found else None,
    )


def _stage_now(progress: Progress) -> StageNow | None:
    """Return where a running cutover stands among its stages."""
    entered = [stage for stage in progress.stages if stage.entered_at is not None]
    if progress.headline.status == "none" or not entered:
        return None
    newest = entered[-1]
    done = sum(stage.status in PASSED_VIEWS for stage in progress.stages)
    following = [stage for stage in progress.stages if stage.index > newest.index]
    is_soaking = newest.status is StageStanding.SOAKING
    said, at = "", None
    if progress.headline.status == CutoverStatus.RUNNING:
        said = f"{following[0].title} follows" if following else "the end of the cutover follows"
        at = newest.soak_until if is_soaking else None
    return StageNow(done, len(progress.stages), newest.title, said, at)


def _waiting(store: Store, plan: Plan, now: datetime) -> tuple[Waiting, ...]:
    """Return everything that goes on only when a person does something."""
    found = []
    asked = approvals.open_for(store, plan.migration)
    titles = {stage.key: stage.title for stage in plan.stages()}
    if asked is not None:
        agreed = tuple(approvals.agreed(store, asked, plan))
        what = f"{titles.get(asked.stage, asked.stage)} waits for approval {len(agreed) + 1}"
        found.append(_since(
            what, asked.asked_at, now, may=rules_of(plan, asked.stage).text, agreed=agreed))
    where = routing.read(store, plan.migration).describe()
    for each in carriers.ended(store, plan.migration):
        if each.ended is not None:
            said = run_ends.sentence(each.subject, each.ended, where)
            found.append(_since(f"nobody carries on {each.subject}: {said}", each.since, now))
    newest = rollbacks.latest(store, plan.migration)
    if newest is not None and newest.status is RollbackStatus.NEEDS_PERSON:
        view = reading.rollback_view(store, newest, is_newest=True)
        for each_step in view.must_do:
            found.append(_since(each_step, newest.ended_at or newest.started_at, now))
    return tuple(found)


def _since(
    what: str, since: datetime, now: datetime, *, may: str = "", agreed: tuple[str, ...] = ()
) -> Waiting:
    return Waiting(what, since, max(0.0, (now - since).total_seconds()), may, agreed)

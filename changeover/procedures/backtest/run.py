"""A backtest from one end to the other: gates, triggers, and what follows for each cutover."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from changeover.analysis.backtest.found import (
    UNKNOWN,
    Backtest,
    Evaluation,
    HealthyCheck,
    NotKnown,
    TriggerAgain,
)
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.errors import InvalidInput
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerAction
from changeover.procedures.backtest.gates import evaluate_again
from changeover.procedures.backtest.healthy import HealthyGates
from changeover.procedures.backtest.looks import failed_early, looked_at
from changeover.procedures.backtest.moment import moments
from changeover.procedures.backtest.timeline import Timeline, read_timeline
from changeover.procedures.backtest.triggers import DAY, Triggers, of_gates
from changeover.site.site import Site
from changeover.store import cutovers, firings, series

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked.

    Args:
        plan: The plan.
        since: From when on.
        until: Until when.
    """

    plan: Plan
    since: datetime
    until: datetime


def backtest(site: Site, asked: Asked, progress: Progress) -> Backtest:
    """Return what another plan would have decided since a time.

    Args:
        site: The migration, with the plan that runs.
        asked: The plan and the time.
        progress: Hears how far it is.

    Raises:
        InvalidInput: The plan is of another migration, or nothing is kept since that time.
        StoreError: The store cannot be read.
    """
    _refuse(site, asked)
    timeline = read_timeline(site, since=asked.since, until=asked.until)
    evaluations = list(_evaluations(site, asked.plan, timeline, progress))
    triggers = Triggers(site, asked.plan, timeline)
    total, done = sum(each.seconds for each in timeline.spans()), 0

    def advance(seconds: int) -> None:
        nonlocal done
        done += seconds
        progress("triggers", done, total)

    gates = HealthyGates(site, asked.plan, timeline)
    # triggers read the rows of the time at the baseline anyway, and hand them to the gates
    triggers.run(advance, gates)
    stages = list(looked_at(site, asked.plan, timeline))
    triggers.weigh(stages)
    again, unknown = triggers.found()
    fired = firings.all_of(site.store, site.migration, since=asked.since)
    again += failed_early(site, asked.plan, stages, of_gates(fired))
    healthy, unknown_checks = _healthy(gates, progress)
    unknown += [*_unknown_checks(evaluations), *unknown_checks]
    return Backtest(
        site.migration, asked.since, asked.until, evaluations, again, healthy, unknown,
        triggers.measured[True] / DAY, triggers.measured[False] / DAY,
        [_told(each, evaluations, again) for each in _cutovers(site, timeline)])


def _refuse(site: Site, asked: Asked) -> None:
    if asked.plan.migration != site.migration:
        raise InvalidInput(
            f"the plan is of migration {asked.plan.migration}, and the samples are of "
            f"{site.migration}",
            next_step=f"Name the plan of {site.migration}, or the samples' migration with "
                      f"--migration {asked.plan.migration}")
    newest = series.newest(site.store, site.migration)
    if newest is None or newest <= asked.since:
        kept = "nothing was measured yet" if newest is None else \
            f"the newest sample is of {newest:%Y-%m-%d %H:%M:%S} UTC"
        raise InvalidInput(
            f"no sample of {site.migration} since {asked.since:%Y-%m-%d %H:%M:%S} UTC: {kept}",
            next_step="Give a longer time: --since 14d")


def _evaluations(
    site: Site, plan: Plan, timeline: Timeline, progress: Progress
) -> Iterator[Evaluation]:
    found = list(moments(site, plan, timeline))
    for number, moment in enumerate(found, 1):
        yield evaluate_again(moment, site.plan)
        progress("verdicts", number, len(found))


def _healthy(
    gates: HealthyGates, progress: Progress
) -> tuple[list[HealthyCheck], list[NotKnown]]:
    cases = gates.cases()
    found = []
    for number, case in enumerate(cases, 1):
        if (seen := gates.check(case)) is not None:
            found.append(seen)
        progress("gates at the baseline", number, len(cases))
    return found, [NotKnown(what, why) for what, why in gates.unknown]


def _unknown_checks(evaluations: Sequence[Evaluation]) -> list[NotKnown]:
    # a dictionary: what cannot be told is said once, in the order in which it came up
    found: dict[tuple[str, str], None] = {}
    for each in evaluations:
        for gate in each.gates:
            where = f"{each.stage} of cutover {each.cutover_id}, gate {gate.gate}"
            for check in gate.checks:
                if check.now == UNKNOWN:
                    found[f"{where}: {check.check}", check.reason] = None
    return [NotKnown(what, why) for what, why in found]


def _cutovers(site: Site, timeline: Timeline) -> list[Cutover]:
    found = []
    for each in cutovers.all_of(site.store, site.migration):
        end = each.ended_at or timeline.until
        if each.started_at < timeline.until and end >= timeline.since:
            found.append(each)
    return found


def _told(
    cutover: Cutover, evaluations: Sequence[Evaluation], triggers: Sequence[TriggerAgain]
) -> str:
    """Return one sentence of what became of a cutover, and what would have."""
    mine = [each for each in evaluations if each.cutover_id == cutover.id]
    reasons = []
    for evaluation in mine:
        if evaluation.ends:
            reasons.append((evaluation.at, f"the gate of {evaluation.stage}"))
    for trigger in triggers:
        if trigger.action != TriggerAction.ROLLBACK:
            continue
        for fired in trigger.now or ():
            if _is_within(fired.at, cutover):
                reasons.append((fired.at, f"trigger {trigger.trigger}"))
    was = f"cutover {cutover.id} {_ended(cutover)}"
    unknown = sum(each.now is None for each in mine)
    doubt = f"; {unknown} of its evaluations cannot be told" if unknown else ""
    if reasons:
        # the first one counts: it would have ended the cutover
        at, cause = min(reasons)
        would = f"it would be rolled back on {at:%Y-%m-%d %H:%M:%S} by {cause}"
    elif cutover.status is CutoverStatus.ROLLED_BACK:
        would = "nothing would have rolled it back in the time that it had"
    else:
        would = "nothing would have rolled it back either"
    return f"{was}; with this plan {would}{doubt}"


def _ended(cutover: Cutover) -> str:
    if cutover.ended_at is None:
        return "runs"
    word = str(cutover.status).replace("_", " ")
    return f"was {word} on {cutover.ended_at:%Y-%m-%d %H:%M:%S}"


def _is_within(moment: datetime, cutover: Cutover) -> bool:
    is_before_end = cutover.ended_at is None or moment <= cutover.ended_at
    return cutover.started_at <= moment and is_before_end

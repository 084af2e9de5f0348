"""Retiring the baseline for good: when it is due, who agrees, and the levers that do it."""

from __future__ import annotations

from datetime import datetime, timedelta

from changeover import clock
from changeover.analysis.window import ErrorClass
from changeover.domain.audit import NewEvent
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.domain.routing import Mode
from changeover.domain.run_ends import Carrier, Work
from changeover.errors import ChangeoverError, Refused, Unreachable
from changeover.plan.model import PhaseKind, PhaseSpec
from changeover.plan.units import format_duration
from changeover.procedures import baseline, fleet, members, retirement_note
from changeover.procedures.approvals import Question
from changeover.procedures.levers import pull_lever
from changeover.procedures.steps import CutoverRun, Found, Procedure
from changeover.procedures.verification import unmeasured
from changeover.site.site import Site
from changeover.store import approvals, audit, carriers, cutovers, routing

SUBJECT = "retire"
ACTOR = "deprecation/main"


class Retirement:
    """The retirement after a cutover that was promoted, and the flow run that carries it out.

    Not a dataclass: Prefect copies the dataclasses that a task is given, field by field.

    Raises:
        Refused: The plan has no deprecation, or the candidate does not serve everyone.
    """

    def __init__(self, site: Site, flow_run_id: str | None = None) -> None:
        phase = site.plan.phase(PhaseKind.DEPRECATION)
        if phase is None:
            raise Refused(f"the plan of {site.migration} has no phase deprecation")
        self.site, self.phase, self.flow_run_id = site, phase, flow_run_id
        self.cutover = _promoted(site)
        self.work = f"{Work.RETIREMENT} {self.cutover.id}"
        self.occasion = baseline.retirement_of(self.cutover)

    @property
    def run(self) -> CutoverRun:
        """The cutover that people are asked about, with the run that asks."""
        return CutoverRun(self.site, self.cutover, self.flow_run_id)

    @property
    def promoted_at(self) -> datetime:
        """When the candidate began to serve everyone for good.

        Raises:
            Refused: Nobody knows.
        """
        if self.cutover.ended_at is None:
            raise Refused("not begun because the promotion has no time")
        return self.cutover.ended_at

    def refuse_other_run(self) -> None:
        """Check that this run still carries the retirement.

        Raises:
            CarriedElsewhere: Another does, or this one was cancelled.
        """
        if self.flow_run_id is not None:
            known = carriers.one(self.site.store, self.site.migration, self.work)
            carriers.refuse_other(known, self.flow_run_id)


def _promoted(site: Site) -> Cutover:
    """Return the newest cutover, which was promoted.

    Raises:
        Refused: It was not, or the candidate does not serve everyone any more.
    """
    store, migration = site.store, site.migration
    newest = cutovers.latest(store, migration)
    state = routing.read(store, migration)
    # after a rollback, or a recovery, the baseline serves users: there is nothing to retire
    is_full = state.mode is Mode.CANDIDATE_ONLY
    if newest is not None and newest.status is CutoverStatus.PROMOTED and is_full:
        return newest
    why = f"not begun because {migration} is at {state.describe()}"
    raise Refused(
        why, next_step="Finish the cutover first: `prefect deployment run cutover/main`")


def begin(retirement: Retirement) -> datetime:
    """Note that this run carries the retirement; the one before it may do nothing more.

    Returns:
        When the baseline may be retired.

    Raises:
        Refused: The plan does not say how long after the promotion.
    """
    if retirement.phase.after is None:
        raise Refused("not begun because the phase deprecation has no `after`")
    due = retirement.promoted_at + _period(retirement.phase)
    site = retirement.site
    run_id = str(retirement.flow_run_id)
    carrier = Carrier(
        site.migration, retirement.work, "deprecation", run_id, since=clock.now())
    carriers.assign(site.store, carrier)
    return due


def end(retirement: Retirement) -> None:
    """Note that nothing of the retirement is left to be done."""
    site = retirement.site
    run_id = str(retirement.flow_run_id)
    carriers.drop(
        site.store, site.migration, retirement.work, flow_run_id=run_id)


def question(retirement: Retirement) -> Question:
    """Return what people are asked before the baseline is retired."""
    phase = retirement.phase
    migration = retirement.site.migration
    period = format_duration(phase.after) if phase.after else "a while"
    levers = ", ".join(phase.levers) or "none"
    alone = _alone(retirement)
    text = (
        f"## Retire the baseline of {migration}?\n\n"
        f"The candidate has served everyone for {period}. "
        f"After this a rollback is no longer possible{alone}. "
        f"Levers: {levers}.\n\n"
        "- **promote**: pull them.\n"
        "- **hold** or **rollback**: leave the baseline as it is.\n")
    needed = phase.approval.approvers if phase.approval else 1
    return Question(SUBJECT, lambda _ordinal: text, needed, _round(retirement))


def _alone(retirement: Retirement) -> str:
    group = retirement.site.plan.group
    # who goes first follows nobody back
    if group is None or group.order <= 1:
        return ""
    return f", not even when one that goes first in group {group.name} is rolled back"


def _round(retirement: Retirement) -> int:
    """Return how often people are asked with this run; the same number after every kill."""
    site, run_id = retirement.site, retirement.flow_run_id

    def count() -> Found:
        newest = 0
        for each in approvals.all_of(site.store, retirement.cutover.id):
            if each.stage == SUBJECT and each.decision is not None:
                newest = max(newest, each.round)
        return "how often people are asked", {"round": newest + 1}

    run = Procedure(site, f"deprecation-{run_id}", run_id)
    counted = run.once("round", count)
    return int(counted.data["round"])


def refuse_while_called(retirement: Retirement) -> None:
    """Refuse to retire a baseline that answered somebody in the plan's period.

    Raises:
        Refused: It did.
        Unreachable: A gateway has not counted yet who called it up to now.
    """
    site, now = retirement.site, clock.now()
    if late := unmeasured(site, now):
        why = f"nobody counted who called the baseline up to {now:%F %T} UTC at {late}"
        raise Unreachable(
            why, next_step="Check with `changeover status` whether the observer runs, and the "
            "gateway nodes")
    if silent := fleet.silent(site):
        raise Unreachable(
            f"nobody knows who calls the baseline at gateway nodes: {silent}",
            next_step="Start the node again, so that it sends what it counted; one that was not "
            "heard of for 24 h is not asked any more")
    start = now - _period(retirement.phase)
    # not before the promotion: until then it was there to answer
    start = max(start, retirement.promoted_at)
    metrics = site.metrics
    own = metrics.window("baseline", start=start, end=now).requests
    candidate = metrics.window("candidate", start=start, end=now)
    # also what it answered in the candidate's place: users would see these fail
    calls = own + candidate.errors.get(ErrorClass.SAVED, 0)
    if calls:
        raise Refused(
            f"not retired because the baseline answered {calls} requests "
            f"since {start:%F %T} UTC "
            f"({own} of its own, the others when the candidate failed)",
            next_step="Find who calls it, then run deprecation/main again")


def pull_levers(retirement: Retirement) -> str:
    """Pull the phase's levers in order, stopping at the first that fails.

    Raises:
        Refused: Somebody still calls the baseline, a rollback sent users there meanwhile, or a
            member of the group has not finished.
        ChangeoverError: A lever failed; the ones after it were not pulled.
    """
    site, levers = retirement.site, retirement.phase.levers
    refuse_while_called(retirement)
    members.refuse_unfinished(site)
    _refuse_unless_full(retirement)
    # noted first: a rollback from now on does not trust the baseline unless it is well
    _record(retirement, baseline.begun(retirement.occasion), "baseline.retiring")
    if not site.is_elsewhere:  # else the main machine's observer leaves it: see `main_files`
        retirement_note.note(site.home.gateway_files, site.plan, now=clock.now())
    for name in levers:
        # between two levers a rollback may have sent users to what is being retired
        _refuse_unless_full(retirement)
        problem = pull_lever(
            site, name, actor=ACTOR, occasion=retirement.occasion)
        if problem:
            raise ChangeoverError(
                problem, next_step="Mend it and run deprecation/main again")
    _record(retirement, retirement.occasion, "baseline.retired")
    pulled = ", ".join(levers) or "there was no lever to pull"
    return f"the baseline is retired: {pulled}"


def _record(retirement: Retirement, key: str, kind: str) -> None:
    site = retirement.site
    data = {"levers": retirement.phase.levers}
    event = NewEvent(
        actor=ACTOR, kind=kind, at=clock.now(), data=data, once_key=key)
    audit.record(site.store, site.migration, event)


def _refuse_unless_full(retirement: Retirement) -> None:
    """Refuse to pull a lever of a baseline that users may be sent to, or as another run.

    Raises:
        Refused: Not everyone is at the candidate any more.
        CarriedElsewhere: Another run carries the retirement.
    """
    site = retirement.site
    state = routing.read(site.store, site.migration)
    if state.mode is not Mode.CANDIDATE_ONLY:
        why = f"not retired because {site.migration} is at {state.describe()}"
        raise Refused(
            why, next_step="Bring back by hand what levers took away; "
            "see `changeover history`")
    retirement.refuse_other_run()


def _period(phase: PhaseSpec) -> timedelta:
    return phase.after or timedelta(0)

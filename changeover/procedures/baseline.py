"""The baseline as the way back: in use, out of use for a while, or retired for good.

A cutover may take it out of use, `deprecation/main` retires it. Both say so in the store before
they pull the first lever: whoever rolls back in that moment then knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from changeover import clock
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.domain.rollout import Cutover
from changeover.errors import Refused, Unreachable
from changeover.gateway import reaching
from changeover.machine.http import get
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec
from changeover.procedures import levers
from changeover.site.site import Site
from changeover.store import audit, cutovers, steps

DISABLED, ENABLED = "baseline disabled", "baseline enabled"
LOOK_SECONDS = 0.2
"""Between two questions whether it is well: users wait for the answer."""


@dataclass(frozen=True, slots=True)
class Return:
    """An attempt to bring the baseline back.

    Args:
        pulled: Why each lever failed, by its name in order; empty for one that worked.
        is_well: Whether the baseline was well in the plan's time.
        began: When the first lever was pulled.
        ended: When it was well, or given up.
    """

    pulled: dict[str, str]
    is_well: bool
    began: datetime
    ended: datetime

    @property
    def problems(self) -> list[str]:
        """One sentence for each lever that failed."""
        return [problem for problem in self.pulled.values() if problem]


def is_out_of_use(site: Site) -> bool:
    """Whether the newest cutover began to disable the baseline and nothing brought it back.

    One whose disabling was only begun, or failed halfway, counts: nobody knows how far it came.
    """
    if site.plan.cutover.disable_baseline is None or not was_out_of_use(site):
        return False
    back = _step(site, ENABLED)
    return back is None or back.status is not StepStatus.DONE


def was_out_of_use(site: Site) -> bool:
    """Whether the newest cutover began to disable the baseline, whatever came afterwards."""
    return _step(site, DISABLED) is not None


def bring_back(site: Site, *, actor: str) -> None:
    """Pull the levers that undo the baseline's disabling and wait until it is well.

    Does nothing when it is in use. Repeated after a kill, it pulls the levers again.

    Raises:
        Unreachable: It is not well in the plan's time; nobody was moved to it.
        StoreError: The store cannot be used.
    """
    if not is_out_of_use(site):
        return
    found = pull_back(site.plan)
    save_return(site, found, actor=actor)
    if not found.is_well:
        raise not_back(site.plan, found)


def pull_back(plan: Plan) -> Return:
    """Do the same without the store, and whether or not it is out of use."""
    spec = plan.cutover.disable_baseline
    began = clock.now()
    if spec is None:
        return Return({}, is_well(plan), began, clock.now())
    # whatever fails: the next lever may be the one that helps
    pulled = {name: levers.pull(plan, name) for name in spec.undo}
    is_back = _gets_well(plan, spec.undo_within.total_seconds())
    return Return(pulled, is_back, began, clock.now())


def save_return(site: Site, found: Return, *, actor: str) -> None:
    """Save what `pull_back` did; a baseline that is well is in use from then on.

    Raises:
        StoreError: The store cannot be used.
    """
    for name, problem in found.pulled.items():
        levers.note(site, name, problem, actor=actor)
    newest = cutovers.latest(site.store, site.migration)
    # a baseline that is not well stays out of use: the next rollback tries again
    if found.is_well and newest is not None:
        detail = f"levers: {', '.join(found.pulled)}; the baseline is well"
        steps.save(site.store, Step(
            site.migration, of_cutover(newest.id), ENABLED, StepStatus.DONE, detail,
            found.began, found.ended))


def not_back(plan: Plan, found: Return) -> Unreachable:
    """Return the error for people: the baseline does not come back."""
    return Unreachable(
        f"{plan.systems.baseline.name} was taken out of use and does not come back"
        + (f"; {'; '.join(found.problems)}" if found.problems else ""),
        where=plan.systems.baseline.url,
        next_step="Start it by hand; `changeover rollback --break-glass` sends users to it "
        "whatever its health")


def is_well(plan: Plan) -> bool:
    """Whether the baseline's health answers 2xx in its time."""
    return answers_well(plan.systems.baseline)


def answers_well(spec: SystemSpec) -> bool:
    """Whether a system's health answers 2xx in its time."""
    return reaching.is_well(spec)


def answers(url: str, timeout: float) -> bool:
    """Whether an address answers 2xx in `timeout` seconds."""
    import httpx  # commands that ask no system start without it

    try:
        return get(url, timeout=timeout).is_success
    except httpx.HTTPError:
        return False


def retirement_of(cutover: Cutover) -> str:
    """Return the audit's key for the retirement after a cutover that ended."""
    return f"retirement after {cutover.ended_at:%FT%T}"


def begun(retirement: str) -> str:
    """Return the audit's key that is written before the first lever of a retirement."""
    return f"{retirement} begun"


def is_retired(site: Site) -> bool:
    """Whether the baseline was retired after the newest cutover, or that was begun."""
    newest = cutovers.latest(site.store, site.migration)
    if newest is None or newest.ended_at is None:
        return False
    retirement = retirement_of(newest)
    return _is_recorded(site, begun(retirement)) or _is_recorded(site, retirement)


def refuse_when_retired(site: Site) -> None:
    """Refuse to send users to a baseline that was retired.

    One whose retirement was begun but not finished is still good for users while it is well.

    Raises:
        Refused: It was retired.
    """
    newest = cutovers.latest(site.store, site.migration)
    if newest is None or not is_retired(site):
        return
    is_finished = _is_recorded(site, retirement_of(newest))
    if is_finished or not is_well(site.plan):
        raise no_way_back(site.plan)


def no_way_back(plan: Plan) -> Refused:
    """Return the error for people: the baseline was retired."""
    return Refused(
        f"not rolled back because {plan.systems.baseline.name} was retired; users stay at "
        f"{plan.systems.candidate.name}", where=plan.systems.baseline.url,
        next_step="Mend the candidate. If the baseline does run again, `changeover rollback "
        "--break-glass` sends users to it")


def _is_recorded(site: Site, once_key: str) -> bool:
    return audit.is_recorded(site.store, site.migration, once_key)


def _step(site: Site, name: str) -> Step | None:
    newest = cutovers.latest(site.store, site.migration)
    if newest is None:
        return None
    return steps.one(site.store, site.migration, of_cutover(newest.id), name)


def _gets_well(plan: Plan, seconds: float) -> bool:
    return clock.poll_until(lambda: is_well(plan), bool, seconds=seconds, pause=LOOK_SECONDS)

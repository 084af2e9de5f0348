"""Changing the plan of a running cutover: what may change, who must agree, what follows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from changeover import clock
from changeover.domain.approvers import Rules, to_amend
from changeover.domain.audit import Author
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import Cutover
from changeover.domain.tokens import ApproverToken
from changeover.errors import Refused
from changeover.plan.amending import changes, hook_refusals, refusals
from changeover.plan.model import Plan
from changeover.procedures import hook_log, steering
from changeover.site.site import Site
from changeover.store import cutovers, instructions, plans, starting


@dataclass(frozen=True, slots=True)
class Amendment:
    """Another plan for a running cutover.

    Args:
        cutover: The cutover.
        plan: The plan that it is to go on with.
        changes: What differs, one line each.
        entered: Keys of the stages that had been entered when the plans were compared.
        needed: How many people must agree: as many as approve the present stage, or any stage
            whose approvals it changes.
        rules: Who may, and what it takes.
        agreed: Who has.
    """

    cutover: Cutover
    plan: Plan
    changes: tuple[str, ...]
    entered: tuple[str, ...]
    needed: int
    rules: Rules = field(default_factory=Rules)
    agreed: tuple[str, ...] = ()

    @property
    def is_in_force(self) -> bool:
        """Whether enough people have agreed."""
        return len(self.agreed) >= self.needed


def propose(site: Site, plan: Plan) -> Amendment:
    """Return what a plan would change.

    Raises:
        Refused: No cutover runs, the plan is the same, or changes what may not be changed.
    """
    cutover = steering.running(site)
    # before anything is compared: two plans of different migrations differ in everything
    if plan.migration != site.migration:
        raise Refused(f"the plan is of migration {plan.migration}, not of {site.migration}")
    entered = [each.key for each in cutovers.stages(site.store, cutover.id)]
    # a hook may have acted before the first user of its stage was moved
    begun = [key for key in hook_log.begun(site, cutover.id) if key not in entered]
    problems = refusals(site.plan, plan, entered)
    problems += hook_refusals(site.plan, plan, begun)
    if problems:
        listed = "\n  ".join(problems)
        raise Refused(
            f"the plan was not amended:\n  {listed}",
            next_step="Leave these as they are, "
            "or end the cutover first (`changeover rollback`)")
    found = tuple(changes(site.plan, plan))
    if not found:
        raise Refused("nothing was changed because the plan is the one that runs")
    # the people who would be asked next: it is their stage whose rules may change
    present = site.plan.stage(entered[-1]) if entered else None
    rules = to_amend(site.plan, plan, present.key if present else "")
    begun_by = starting.starters(site.store, cutover.id)
    needed = max(
        instructions.enough(site.store, cutover.id, present), rules.needed_with(begun_by))
    return Amendment(cutover, plan, found, tuple(entered), needed, rules)


def agree(
    site: Site, proposed: Amendment, author: Author, *, source: str,
    token: ApproverToken | None = None,
) -> Amendment:
    """Agree to another plan as one person; it is in force once enough people have.

    Services that run on the earlier plan end by themselves within seconds, and are started again;
    the cutover's run reads the plan whenever it wakes.

    Raises:
        Refused: The cutover has ended, the plan is another one by now, or a stage was entered
            since the plans were compared.
        StaleEpoch: A rollback came first.
    """
    # by its digest: who agrees to one plan has not agreed to another
    digest = plans.digest_of(proposed.plan)
    said = Instruction(
        proposed.cutover.id, InstructionKind.AMEND, author.actor,
        author.reason, clock.now(), digest)
    present = plans.digest_of(site.plan)
    new = plans.NewPlan(
        proposed.plan, source, present, proposed.changes, proposed.entered)
    agreed = instructions.amend(
        site.store, said, new, needed=proposed.needed, token=token)
    return replace(proposed, agreed=tuple(agreed))

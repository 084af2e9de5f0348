"""Who started a cutover or a retirement: four eyes need to know it."""

from __future__ import annotations

from changeover.domain.approvers import STARTING
from changeover.domain.instructions import Instruction, InstructionKind, people
from changeover.plan.people import person
from changeover.store import admission, cutovers, instructions
from changeover.store.admission import Said
from changeover.store.engine import Store


def start(store: Store, given: Instruction, code: str = "") -> None:
    """Note who started a cutover, or what `stage` names; each person once.

    Args:
        store: The store.
        given: Who, with `stage` as of `part_of`.
        code: Shows who they are, where the plan wants that.

    Raises:
        ApprovalRefused: The code does not.
    """
    with store.begin() as session:
        cutover = cutovers.lock_in(session, given.cutover_id)
        known = people(instructions.all_in(session, cutover.id), InstructionKind.START, given.stage)
        if person(given.actor) in map(person, known):
            return
        said = Said(cutover.migration, "", given.actor, about=STARTING, code=code)
        refused = admission.unproven_in(session, said, now=given.at)
        if refused is None:
            instructions.save_in(session, cutover, given)
    if refused:
        raise refused


def starters(store: Store, cutover_id: int, subject: str = "", flow_run_id: str = "") -> list[str]:
    """Return who started what a question is about; empty when nobody knows."""
    with store.read() as session:
        return instructions.starters_in(session, cutover_id, subject, flow_run_id)

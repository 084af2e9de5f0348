"""Who starts a procedure: four eyes need to know it."""

from __future__ import annotations

from changeover import clock
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.procedures.steps import CutoverRun
from changeover.store import instructions, starting


def note_starter(
    run: CutoverRun, name: str | None, code: str | None, *, part: str = ""
) -> None:
    """Note who started a cutover, or a part of it; each once. Without a name nobody knows.

    Raises:
        ApprovalRefused: The plan wants people to show who they are, and the code does not.
    """
    if not name:
        return
    # of this flow run: a part that is started again has another starter
    key = instructions.part_of(part, str(run.flow_run_id))
    started = Instruction(
        run.id, InstructionKind.START, name.strip()[:100],
        "it was started by this person", clock.now(), key)
    starting.start(run.site.store, started, code or "")

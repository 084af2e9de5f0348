"""What people do by hand, at the command line and on the console's page: the same steps for both.

Who may do it, and how they show who they are, is asked by those who call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.freezes import Freeze
from changeover.domain.gateway_nodes import MAIN
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import Cutover, StageRecord
from changeover.domain.routing import Change, Mode
from changeover.domain.tokens import ApproverToken
from changeover.errors import TransitionRefused
from changeover.plan.units import format_duration
from changeover.procedures import fleet, steering, traffic
from changeover.site.site import Site
from changeover.store import (
    cutovers,
    flags,
    freezes,
    gateway_nodes,
    instructions,
    main_gateways,
    members,
    routing,
    upcoming,
)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done by hand.

    Args:
        text: One sentence for people.
        data: The same for programs.
        notes: What they should know besides.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> str:
        """The text and the notes, a line each."""
        return "\n".join([self.text, *(f"note: {note}" for note in self.notes)])


def pause(site: Site, by: Author) -> Done:
    """Keep a running cutover where it is.

    Raises:
        Refused: None runs, or a rollback came first.
    """
    cutover = steering.running(site)
    wanted = Instruction(
        cutover.id, InstructionKind.PAUSE, by.actor, by.reason, clock.now())
    # who paused it first is named, not who said it again
    given = instructions.pause(site.store, wanted)
    since = f"since {given.at:%F %T} UTC by {given.actor}"
    return steered(
        site, cutover, f"cutover {cutover.id} is paused {since}: {given.reason}")


def resume(site: Site, by: Author) -> Done:
    """Let a paused cutover go on.

    Raises:
        Refused: It is not paused, none runs, or a rollback came first.
    """
    cutover = steering.running(site)
    wanted = Instruction(
        cutover.id, InstructionKind.RESUME, by.actor, by.reason, clock.now())
    instructions.resume(site.store, wanted)
    soak = ""
    for record in cutovers.stages(site.store, cutover.id):
        # the present stage is the only one that is not decided
        if record.decided_at is None:
            soak = f"; {record.key} soaks until {record.soak_until:%F %T} UTC"
    return steered(site, cutover, f"cutover {cutover.id} goes on{soak}")


def extend(site: Site, by: Author, longer: timedelta) -> Done:
    """Let the stage that soaks now soak longer.

    Raises:
        Refused: No stage soaks now, or a rollback came first.
    """
    cutover = steering.running(site)
    stage = steering.soaking(site, cutover)
    wanted = Instruction(
        cutover.id, InstructionKind.EXTEND, by.actor, by.reason, clock.now(),
        stage.key, stage.round, round(longer.total_seconds()))
    instructions.extend(site.store, wanted)
    # read again: the soak's end is what the store made of it
    now = cutovers.stage(site.store, cutover.id, stage.key) or stage
    until = f"until {now.soak_until:%F %T} UTC"
    said = f"{stage.key} soaks longer by {format_duration(longer)}, {until}"
    return steered(site, cutover, said)


def promote_now(
    site: Site, by: Author, record: StageRecord, proof: ApproverToken | bool | None
) -> Done:
    """End the soak of a stage; its gate is judged at once.

    Args:
        site: The migration.
        by: Who agrees, and why.
        record: The soak that is meant.
        proof: The person's token; or whether they have shown who they are in another way.

    Raises:
        Refused: That soak is over, or a rollback came first.
        ApprovalRefused: By the plan this person's word does not count.
    """
    cutover = steering.running(site)
    stage = site.plan.stage(record.key)
    wanted = Instruction(
        cutover.id, InstructionKind.PROMOTE_NOW, by.actor, by.reason, clock.now(),
        record.key, record.round)
    agreed = instructions.promote_now(site.store, wanted, stage, proof)
    needed = instructions.enough(site.store, cutover.id, stage)
    text = f"the soak of {record.key} is over, its gate is judged"
    # fewer people than needed: the instruction is saved and waits for the others
    if len(agreed) < needed:
        count = f"{len(agreed)} of {needed} people agreed"
        text = f"{record.key} soaks on: {count}"
    return steered(site, cutover, f"{text} ({', '.join(agreed)})")


def skip_stage(site: Site, by: Author, key: str, proof: ApproverToken | bool | None) -> Done:
    """Leave out a stage that was not entered yet; arguments as of `promote_now`.

    Raises:
        InvalidInput: The plan has no such stage.
        Refused: It was entered, is the last one, none runs, or a rollback came first.
        ApprovalRefused: By the plan this person's word does not count.
    """
    cutover = steering.running(site)
    stage = steering.later_stage(site, cutover, key)
    wanted = Instruction(
        cutover.id, InstructionKind.SKIP, by.actor, by.reason, clock.now(), stage.key)
    agreed = instructions.skip(site.store, wanted, proof)
    needed = instructions.enough(site.store, cutover.id, stage)
    text = f"{key} will be skipped"
    if len(agreed) < needed:
        count = f"{len(agreed)} of {needed} people agreed"
        text = f"{key} will not be skipped yet: {count}"
    text += f" ({', '.join(agreed)})"
    # later stages may rely on what they do: a person should know
    if stage.hooks.text:
        text += f"; its hooks do not run: {stage.hooks.text}"
    return steered(site, cutover, text)


def freeze(site: Site, by: Author, until: datetime | None) -> Done:
    """Keep everybody where they are; given again, the new end and reason count."""
    wanted = Freeze(site.migration, by.actor, by.reason, clock.now(), until)
    made = freezes.begin(site.store, wanted)
    return Done(f"{site.migration} is {made.text}", {"freeze": made.text})


def thaw(site: Site, by: Author) -> Done:
    """End the freeze; a cutover that waited for it goes on.

    Raises:
        Refused: Nothing is frozen.
    """
    freezes.end(site.store, site.migration, by, now=clock.now())
    # its run sleeps until the freeze would have ended
    cutover = cutovers.active(site.store, site.migration)
    if cutover is not None:
        steering.wake(site, cutover)
    return Done(f"{site.migration} is not frozen any more", {"frozen": False})


def forget_gateway(site: Site, by: Author, name: str) -> Done:
    """Remove a gateway that is dead, so that nothing waits for what it may have measured.

    Raises:
        InvalidInput: There is no such node.
        Refused: It is alive.
    """
    if name == MAIN:
        node = main_gateways.forget(site.store, site.migration, by, now=clock.now())
    else:
        node = gateway_nodes.forget(site.store, site.migration, name, by, now=clock.now())
    what = node.label if name == MAIN else f"gateway node {name}"
    text = f"{what} is forgotten; it served {node.serves}"
    if node.order < routing.read(site.store, site.migration).order:
        text += ", which is not the newest: see that no user is sent there"
    return Done(text, {"node": name})


def maintenance(site: Site, by: Author, *, is_on: bool) -> Done:
    """Answer users with 503 and the reason, or let them through again.

    Raises:
        PublishFailed: The state is changed, but the gateway did not confirm it.
    """
    change = Change(maintenance=is_on, maintenance_reason=by.reason)
    return moved(site, change, by)


def recover(site: Site, by: Author) -> Done:
    """End an emergency rollback, so that a new cutover may begin.

    Raises:
        TransitionRefused: There is none to end.
        StaleEpoch: Somebody changed the routing state in the same moment.
        PublishFailed: The state is changed, but the gateway did not confirm it.
    """
    state = routing.read(site.store, site.migration)
    # from everywhere else this would take users from the candidate, even to a retired baseline
    if state.mode is not Mode.EMERGENCY_ROLLBACK:
        raise TransitionRefused(
            f"nothing was changed because nothing is rolled back: {state.describe()}",
            where=f"migration {site.migration}",
            next_step="To bring everyone back to the baseline: `changeover rollback`")
    change = Change(
        mode=Mode.BASELINE_ONLY, is_by_person=True, expected_version=state.version)
    return moved(site, change, by, notes=_safe_flags_left(site))


def moved(
    site: Site, change: Change, by: Author, *, notes: tuple[str, ...] = ()
) -> Done:
    """Change the routing state, publish it, and say what it is now."""
    state = traffic.move(site, change, by)
    notes = (*notes, *fleet.silent_notes(site))
    text = state.describe()
    data = {"state": text, "version": state.version, "notes": list(notes)}
    return Done(text, data, notes)


def _safe_flags_left(site: Site) -> tuple[str, ...]:
    """Return a note for each safe flag that is not what the plan says."""
    changed = flags.drift(site.store, site.migration, site.environment)
    notes = []
    for name in site.plan.rollback.safe_flags:
        # a flag that the plan does not have cannot be reset
        if name in changed and changed[name][0] is not flags.GONE:
            command = f"changeover flags reset {name}"
            notes.append(
                f"flag {name} stays as the rollback set it: `{command}` ends that")
    return tuple(notes)


def steered(site: Site, cutover: Cutover, text: str) -> Done:
    """Wake the cutover's run and say for whom the next stage waits all the same."""
    is_woken = steering.wake(site, cutover)
    notes = []
    # what was said is saved: no error, only later
    if not is_woken:
        later = "the observer wakes the run as soon as it does"
        notes.append(f"Prefect does not answer; {later}")
    stage = upcoming.next_stage(site.store, cutover.id, site.plan)
    if stage is not None:
        why = members.why_wait(site.store, site.plan, stage)
        if why:
            notes.append(f"{stage.title} waits: {why}")
    data = {"cutover": cutover.id, "text": text, "is_woken": is_woken}
    return Done(text, data, tuple(notes))

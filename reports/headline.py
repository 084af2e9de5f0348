"""The first sentence of a report: what happened, why, and who decided. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from changeover.domain.rollbacks import Rollback, TriggerFiring
from changeover.domain.rollout import Cutover, CutoverStatus, StageAction
from reports import text
from reports.model import Headline, StageStanding, StageView


@dataclass(frozen=True, slots=True)
class Story:
    """What the first sentence is made of."""

    cutover: Cutover | None
    stages: Sequence[StageView]
    rollbacks: Sequence[Rollback]
    firings: Sequence[TriggerFiring]
    systems: Mapping[str, str]
    routing: str
    now: datetime


def headline(story: Story) -> Headline:
    """Return the headline of a cutover, or of a migration without one."""
    cutover = story.cutover
    # a rollback without a cutover is possible: users were moved by hand
    if cutover is None and not story.rollbacks:
        sentence = f"No cutover was started; the routing is {story.routing}."
        return Headline("none", "No cutover yet", sentence, (), None, None, None)
    if cutover is None or _was_undone(story, cutover):
        return _undone(story, story.rollbacks[-1])
    teller = {
        CutoverStatus.PROMOTED: _promoted,
        CutoverStatus.ROLLED_BACK: _rolled_back,
        CutoverStatus.FAILED: _failed,
        CutoverStatus.STOPPED: _stopped,
        CutoverStatus.RUNNING: _running,
    }[CutoverStatus(cutover.status)]
    word, sentence, decided_by = teller(story, cutover)
    return Headline(
        status=str(cutover.status),
        word=word,
        sentence=sentence[:1].upper() + sentence[1:],
        decided_by=decided_by,
        started_at=cutover.started_at,
        ended_at=cutover.ended_at,
        seconds=((cutover.ended_at or story.now) - cutover.started_at).total_seconds(),
    )


def approvers(stages: Iterable[StageView], decision: str) -> tuple[str, ...]:
    """Return the people who answered with `decision`, each once, in order."""
    names = []
    for stage in stages:
        for approval in stage.approvals:
            has_answered = approval.approver and approval.decision == decision
            # an answer that came after a rollback decided nothing
            if has_answered and not approval.is_void:
                names.append(str(approval.approver))
    return tuple(dict.fromkeys(names))


Words = tuple[str, str, tuple[str, ...]]


def _was_undone(story: Story, cutover: Cutover) -> bool:
    # rolled back after its end: the promotion is the past, the rollback is the news
    return cutover.status == CutoverStatus.PROMOTED and bool(story.rollbacks)


def _undone(story: Story, rollback: Rollback) -> Headline:
    cutover = story.cutover
    before = ""
    if cutover is not None and cutover.ended_at is not None:
        before = f"Promoted {text.moment(cutover.ended_at)} and rolled back later. "
    begin = cutover.started_at if cutover else rollback.started_at
    end = rollback.ended_at
    return Headline(
        status=CutoverStatus.ROLLED_BACK,
        word="Rolled back",
        sentence=f"{before}All users were sent to {story.systems['baseline']}: "
        f"{_sentence(rollback.reason)}.",
        decided_by=_rollback_by(story, rollback),
        started_at=begin,
        ended_at=end,
        seconds=((end or story.now) - begin).total_seconds(),
    )


def _promoted(story: Story, cutover: Cutover) -> Words:
    people = approvers(story.stages, "promote")
    why = _sentence(cutover.outcome) or "every stage was promoted"
    return "Promoted", f"All users are on {story.systems['candidate']}: {why}.", people


def _rolled_back(story: Story, cutover: Cutover) -> Words:
    rollback = story.rollbacks[-1] if story.rollbacks else None
    last = [stage for stage in story.stages if stage.entered_at is not None][-1:]
    where = f" from {last[0].title}" if last else ""
    stated = last[0].reason if last else ""
    why = _sentence(rollback.reason if rollback else stated or cutover.outcome)
    people = approvers(story.stages, StageAction.ROLLBACK)
    decided_by = _rollback_by(story, rollback) if rollback else people
    sentence = f"All users were sent back to {story.systems['baseline']}{where}: {why}."
    return "Rolled back", sentence, decided_by


def _failed(story: Story, cutover: Cutover) -> Words:
    why = _sentence(cutover.outcome) or "no reason was given"
    return "Failed", f"{why}; the routing is {story.routing}.", ()


def _stopped(story: Story, cutover: Cutover) -> Words:
    return "Stopped", f"{_sentence(cutover.outcome)}; the routing is {story.routing}.", ()


def _running(story: Story, cutover: Cutover) -> Words:
    entered = [stage for stage in story.stages if stage.entered_at is not None]
    if not entered:
        return "Running", "The first stage is being entered.", ()
    people = approvers(story.stages, "promote")
    stage = entered[-1]
    if stage.status is StageStanding.WAITING:
        return "Waiting for approval", f"{stage.title} waits for a person's decision.", people
    if stage.status is StageStanding.SOAKING and stage.soak_until and stage.soak_until > story.now:
        left = text.duration((stage.soak_until - story.now).total_seconds())
        until = text.moment(stage.soak_until)
        return "Running", f"{stage.title} soaks until {until}, {left} from now.", people
    if stage.status is StageStanding.SOAKING:
        return "Running", f"{stage.title} has soaked; its gates are being judged.", people
    return "Running", f"{stage.title} is {text.WORDS.get(stage.status, stage.status)}.", people


def _rollback_by(story: Story, rollback: Rollback) -> tuple[str, ...]:
    """Return who decided a rollback: the triggers whose epoch it began, and the actor."""
    triggers = []
    for firing in story.firings:
        if rollback.was_begun_by(firing):
            triggers.append(f"trigger {firing.trigger}")
    people = approvers(story.stages, StageAction.ROLLBACK)
    return tuple(dict.fromkeys([*triggers, *people, rollback.actor]))


def _sentence(reason: str) -> str:
    return text.one_line(reason).rstrip(".;")

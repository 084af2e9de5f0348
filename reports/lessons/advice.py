"""What the next plan should do otherwise: each rule says what to do, and by which numbers. Pure.

A rule looks at one thing, and says nothing where its numbers do not say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from changeover.domain.rollout import Approval, CutoverStatus, StageAction
from reports import text
from reports.lessons.model import Advice, Flaky, Near, StageTime, Unseen, Watch
from reports.lessons.near import NEARLY

LONG_WAIT = 4 * 3600.0
"""People who are waited for longer than this, and longer than the soak, are asked too late."""
FAR = 0.1
"""A trigger that never went this part of its way would notice harm late."""
STEEP = 3.0
"""A stage with so many times the users of the one before is a large step."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What advice is derived from.

    Args:
        status: How the cutover ended, or stands.
        stages: Where the time of each stage went.
        near: How near everything came to its bound.
        unseen: What never had enough data.
        flaky: What changed its mind.
        approvals: Every question with its answer.
        regressions: Places at which the candidate was firmly worse.
        notified: Whether anybody is notified.
    """

    status: CutoverStatus
    stages: Sequence[StageTime] = ()
    near: Sequence[Near] = ()
    unseen: Sequence[Unseen] = ()
    flaky: Sequence[Flaky] = ()
    approvals: Sequence[Approval] = ()
    regressions: Sequence[str] = field(default_factory=tuple)
    notified: bool = True


def advice(facts: Facts) -> tuple[Advice, ...]:
    """Return everything that follows from the facts, the most urgent first."""
    found = []
    for rule in RULES:
        found += list(rule(facts))
    if not found and facts.status is CutoverStatus.PROMOTED:
        found.append(Advice(
            "keep", "Keep the plan as it is",
            f"nothing came within {1 - NEARLY:.0%} of its bound, no check changed its mind, "
            "nobody was waited for long"))
    return tuple(found)


def _rolled_back_at(facts: Facts) -> Iterator[Advice]:
    """After a rollback from a stage with many more users than the one before: go in between."""
    if facts.status is not CutoverStatus.ROLLED_BACK or not facts.stages:
        return
    last = facts.stages[-1]
    before = facts.stages[-2].weight if len(facts.stages) > 1 else 0
    where = f"the rollback came from {last.title} after {text.duration(last.seconds)}"
    if before and last.weight >= STEEP * before:
        between = round((before * last.weight) ** 0.5 / 100) * 100
        yield Advice(
            "smaller-step",
            f"Add a stage of {text.percent(between)} before {last.title}",
            f"{where}, with {last.weight / before:.1f} times the users of the stage before")
    elif last.weight:
        yield Advice(
            "mend-first",
            f"Mend what ended it, and let the new cutover soak in the stage before {last.title} "
            "as long as it took to show there",
            where)


def _fired(facts: Facts) -> Iterator[Advice]:
    """What fired or failed is looked at first, whatever it did."""
    for each in facts.near:
        if each.fired:
            yield Advice(
                "fired", f"Find the cause behind {each.watch} {each.name} before the next cutover",
                f"it fired or failed in {each.stage or 'no stage'}: {each.value}"
                f" (bound: {each.bound})")


def _nearly(facts: Facts) -> Iterator[Advice]:
    """What nearly fired will fire when something is a little worse."""
    for each in facts.near:
        if not each.fired and each.share >= NEARLY:
            yield Advice(
                "nearly",
                f"Agree on the bound of {each.watch} {each.name}, or mend what drives it",
                f"it came to {each.share:.0%} of the way in {each.stage or 'no stage'}: "
                f"{each.value} (bound: {each.bound})")


def _changed_its_mind(facts: Facts) -> Iterator[Advice]:
    """A check that changes its mind decides by luck: it needs more data, or another bound."""
    for each in facts.flaky:
        times = f"{text.counted(each.flips, 'time')} between pass and fail"
        if each.lost:
            times += f", {text.counted(each.lost, 'time')} from pass to inconclusive"
        yield Advice(
            "flaky",
            f"Give {each.check} of gate {each.gate} more data: a longer `over`, more "
            "`min_samples`, or a comparison by evidence",
            f"in {each.stage} its verdict changed {times}")


def _needed_longer(facts: Facts) -> Iterator[Advice]:
    """A gate that was judged again and again had too short a soak."""
    for each in facts.stages:
        if each.rechecks:
            needed = text.duration(each.soak_seconds + each.other_seconds)
            yield Advice(
                "longer-soak", f"Let {each.title} soak for about {needed}",
                f"its gates had too little data at the end of {text.duration(each.soak_seconds)} "
                f"and were judged again {text.counted(each.rechecks, 'time')}")


def _waited(facts: Facts) -> Iterator[Advice]:
    """People who are waited for longer than the soak are asked at a bad time, or not reached."""
    for each in facts.stages:
        if each.people_seconds > max(LONG_WAIT, each.soak_seconds):
            what = "remind them earlier (`patience: {remind: 1h}`), or name more approvers" \
                if facts.notified else "set `notify`: nobody is told that an answer is waited for"
            yield Advice(
                "waited", f"For {each.title}: {what}",
                f"people were waited for {text.duration(each.people_seconds)}, "
                f"the soak is {text.duration(each.soak_seconds)}")


def _held(facts: Facts) -> Iterator[Advice]:
    """What people held for should be a check, so that nobody has to see it."""
    for each in facts.approvals:
        if each.decision == StageAction.HOLD and not each.is_void:
            why = text.one_line(each.comment) or "no reason was given"
            yield Advice(
                "held", f"Make a check of what {each.approver} held {each.stage} for",
                f"a person noticed what no gate asked: {why}")


def _never_seen(facts: Facts) -> Iterator[Advice]:
    """What never had data protects nobody."""
    for each in facts.unseen:
        yield Advice(
            "no-data", f"Feed {each.watch} {each.name}, or remove it",
            f"it never had enough data: {each.reason}")


def _far(facts: Facts) -> Iterator[Advice]:
    """After a promotion: a trigger that never moved would notice harm late."""
    if facts.status is not CutoverStatus.PROMOTED:
        return
    for each in facts.near:
        is_far = each.watch is Watch.TRIGGER and 0 < each.share < FAR
        if is_far:
            yield Advice(
                "tighter", f"Consider a tighter bound for trigger {each.name}",
                f"at its worst it was at {each.share:.1%} of the way: {each.value} "
                f"(bound: {each.bound})")


def _regressed(facts: Facts) -> Iterator[Advice]:
    """Firm regressions are mended, or a rule says why they may differ."""
    if facts.regressions:
        shown = ", ".join(f"`{each}`" for each in facts.regressions[:5])
        left = len(facts.regressions) - 5
        more = f" and {left} more" if left > 0 else ""
        yield Advice(
            "regressions",
            f"Mend what differs at {shown}{more}, or write a rule that says why it may",
            f"{text.counted(len(facts.regressions), 'place')} firmly worse than the baseline, "
            "which differs from itself less often")


RULES: tuple[Callable[[Facts], Iterator[Advice]], ...] = (
    _fired, _rolled_back_at, _nearly, _regressed, _changed_its_mind, _needed_longer, _held,
    _waited, _never_seen, _far,
)
"""The rules, the most urgent first."""

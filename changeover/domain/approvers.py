"""Who may count as an approver: the rules of each question, and why an answer is refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from changeover.domain.rollout import StageAction
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.people import ApprovalSpec, ApproversSpec, listed, person

FROM_STAGE = "from-"
"""What a question begins with that is about beginning with a stage."""
CAPACITY, FINAL = "capacity-", "final"
"""What a question begins with that is about the size of the baseline, and its place in the end."""
RETIRE = "retire"
STARTING = "start"
"""What a code is about that shows who starts something."""
AROUND = ("disable-baseline", "success")
"""Questions after the last stage; the plan has one place for both."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may answer a question, and what it takes.

    Args:
        names: Who may; None: anybody.
        tokens: Whether a person must prove who they are.
        four_eyes: Whether who started it may not be the only one who agrees.
        needed: How many different people must agree.
    """

    names: tuple[str, ...] | None = None
    tokens: bool = False
    four_eyes: bool = False
    needed: int = 1

    def allows(self, name: str) -> bool:
        """Whether a person is listed, or everybody is."""
        return self.names is None or listed(name) in {listed(each) for each in self.names}

    def counting(self, names: Iterable[str]) -> list[str]:
        """Return those who agreed and whose word still counts: an amendment may unlist people."""
        return [name for name in names if self.allows(name)]

    def needed_with(self, starters: Collection[str]) -> int:
        """Return how many must agree.

        Args:
            starters: Who started what is asked about. Nobody knows: each who agrees may have, so
                that only a second one is surely another.
        """
        return max(2, self.needed) if self.four_eyes and not starters else self.needed

    @property
    def text(self) -> str:
        """Who may answer, for people; empty: anybody may, by a typed name."""
        parts = []
        if self.names is not None:
            parts.append(", ".join(self.names) or "nobody")
        if self.tokens:
            parts.append("with a token or signed in")
        if self.four_eyes:
            parts.append("not alone who started it")
        return "; ".join(parts)


class Problem(StrEnum):
    """Why an answer does not count."""

    UNLISTED = "is not listed"
    UNPROVEN = "has not shown who they are"
    STARTER = "started it"


def refusal(
    rules: Rules, name: str, decision: StageAction, starters: Collection[str], *, is_proven: bool
) -> Problem | None:
    """Return why a person's answer does not count; None when it does.

    Args:
        rules: What the plan says about the question.
        name: Who answers.
        decision: What they say. To hold or to go back, nobody else is needed.
        starters: Who started what is asked about.
        is_proven: Whether they have shown that they are who they say.
    """
    if not rules.allows(name):
        return Problem.UNLISTED
    if rules.tokens and not is_proven:
        return Problem.UNPROVEN
    is_alone = rules.four_eyes and rules.needed_with(starters) < 2
    is_starter = person(name) in {person(each) for each in starters}
    if decision is StageAction.PROMOTE and is_alone and is_starter:
        return Problem.STARTER
    return None


def rules_of(plan: Plan, subject: str = "") -> Rules:
    """Return who may answer a question.

    Args:
        plan: The plan in force.
        subject: What it is about: a stage's key, a hook's or a capacity's question around one,
            `retire`, `from-gradual-50`; empty: the migration.
    """
    if subject.startswith(FROM_STAGE):
        return _passed_over(plan, subject.removeprefix(FROM_STAGE))
    spec = _spec(plan, subject)
    everywhere = plan.approvers or ApproversSpec()
    if spec is None:
        names, tokens, four_eyes, needed = None, None, None, 1
    else:
        names, tokens, four_eyes = spec.names, spec.tokens, spec.four_eyes
        needed = spec.approvers
    listed = everywhere.names if names is None else names
    return Rules(
        tuple(listed) if listed is not None else None,
        everywhere.tokens if tokens is None else tokens,
        everywhere.four_eyes if four_eyes is None else four_eyes, needed)


def all_rules(plan: Plan) -> list[Rules]:
    """Return the rules of every question that the plan may put."""
    return [rules_of(plan, subject) for subject in _subjects(plan)]


def _subjects(plan: Plan) -> list[str]:
    return ["", *(stage.key for stage in plan.stages()), *AROUND, RETIRE]


def together(rules: Iterable[Rules]) -> Rules:
    """Return the rules of several questions that are answered as one: the strictest of each.

    Who is listed for one of them only may not answer for the others.
    """
    names: tuple[str, ...] | None = None
    all_rules = list(rules)
    for each in all_rules:
        if names is None:
            names = each.names
        elif each.names is not None:
            names = tuple(name for name in names if each.allows(name))
    return Rules(
        names, any(each.tokens for each in all_rules), any(each.four_eyes for each in all_rules),
        max([1, *(each.needed for each in all_rules)]))


def to_amend(plan: Plan, other: Plan, present: str) -> Rules:
    """Return who may agree that a running cutover goes on with another plan.

    Whoever could loosen the rules of a question must be one of those who may answer it.

    Args:
        plan: The plan in force.
        other: The plan that is to replace it.
        present: Key of the stage that was entered last; empty before the first one.
    """
    found = [rules_of(plan, present)]
    for subject in _subjects(plan):
        rules = rules_of(plan, subject)
        if rules != rules_of(other, subject):
            found.append(rules)
    return together(found)


def stage_of(plan: Plan, subject: str) -> str:
    """Return the key of the stage that a question around one is about; others as they are."""
    place = subject.removeprefix(CAPACITY)
    if place == FINAL and place != subject:
        return plan.stages()[-1].key
    around = re.fullmatch(r"(?:before|after|review)-(.+)-\d+", place)
    return around[1] if around else subject


def _passed_over(plan: Plan, key: str) -> Rules:
    """Return the rules of beginning with a stage: those of every stage before it."""
    found = []
    for stage in plan.stages():
        if stage.key == key:
            break
        if stage.approvers:
            found.append(rules_of(plan, stage.key))
    return together(found or [rules_of(plan)])


def _spec(plan: Plan, subject: str) -> ApprovalSpec | None:
    """Return what the plan says about one question."""
    subject = stage_of(plan, subject)
    if subject in AROUND:
        disable = plan.cutover.disable_baseline
        return disable.approval if disable else None
    if subject == RETIRE:
        phase = plan.phase(PhaseKind.DEPRECATION)
        return phase.approval if phase else None
    return next((each.approval for each in plan.stages() if each.key == subject), None)

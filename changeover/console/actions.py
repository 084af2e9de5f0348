"""What an action of people is, and what is asked before it is done. Pure.

Which there are is `action_table`, how each is carried out `carrying_out`; the rules are those of
the procedures that the commands call as well.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from changeover.console.effects import Traffic
from changeover.domain.freezes import Freeze
from changeover.domain.instructions import Instruction
from changeover.domain.rollout import Approval, Cutover, StageRecord
from changeover.domain.routing import RoutingState
from changeover.domain.tokens import Scope, tokens_in, without_tokens
from changeover.errors import InvalidInput, Refused
from changeover.flags.state import FlagState
from changeover.plan.model import Plan, Stage

Values = Mapping[str, str]
MOST_TEXT, MOST_REASON = 200, 2000
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Situation:
    """What the pages know of the migration at one moment; nothing of it is asked again.

    `ahead` are the stages of the running cutover that can be left out.
    """

    plan: Plan
    now: datetime
    state: RoutingState
    traffic: Traffic = field(default_factory=Traffic)
    cutover: Cutover | None = None
    soaking: StageRecord | None = None
    pause: Instruction | None = None
    freeze: Freeze | None = None
    asked: Approval | None = None
    flags: Mapping[str, FlagState] = field(default_factory=dict)
    ahead: tuple[Stage, ...] = ()


class Group(StrEnum):
    """Under which heading an action stands."""

    BACK = "Go back"
    CUTOVER = "The running cutover"
    EVERYONE = "Everybody"


@dataclass(frozen=True)
class Field:
    """Something that a person says before they see what would happen.

    Args:
        name: Its name in the form.
        label: What is asked.
        choices: Values with their words; None: any text.
        hint: What is allowed.
        is_needed: Whether it may not be empty.
    """

    name: str
    label: str
    choices: Callable[[Situation], list[tuple[str, str]]] | None = None
    hint: str = ""
    is_needed: bool = True


@dataclass(frozen=True)
class Action:
    """One action.

    Args:
        name: Its name in addresses and in the audit.
        title: What it is called.
        group: Where it stands.
        closed: Why it is not possible now; empty when it is.
        effect: What it would do, in sentences.
        fields: What must be known for that.
        seen: What must be as it was when the effect was shown; empty: it need not.
        is_danger: Whether users notice it.
        needs: What somebody who does it must be allowed to.
    """

    name: str
    title: str
    group: Group
    closed: Callable[[Situation], str]
    effect: Callable[[Situation, Values], list[str]]
    fields: tuple[Field, ...] = ()
    seen: Callable[[Situation, Values], str] = lambda _situation, _values: ""
    is_danger: bool = False
    needs: Scope = Scope.ADMIN


def checked(action: Action, situation: Situation, given: Values) -> dict[str, str]:
    """Return the values of an action's fields, nothing besides.

    Raises:
        InvalidInput: One is missing, too long, or none of those that can be chosen.
    """
    found = {}
    for each in action.fields:
        value = given.get(each.name, "").strip()
        if not value and each.is_needed:
            raise InvalidInput(f"{each.label} is missing", where=each.name)
        _refuse_unreadable(value, each.name)
        if len(value) > MOST_TEXT:
            raise InvalidInput(
                f"{each.label} is too long", where=each.name,
                allowed=f"{MOST_TEXT} characters")
        choices = each.choices(situation) if each.choices else []
        known = [name for name, _ in choices]
        if each.choices is not None and value and value not in known:
            raise InvalidInput(
                f"{value[:40]!r} cannot be chosen", where=each.name,
                allowed=", ".join(known) or "nothing now")
        found[each.name] = value
    return found


def reason_of(given: Values, group: Group) -> str:
    """Return why a person does it, without the secret of any token.

    Raises:
        InvalidInput: There is no reason, it is too long, or it has a token in it, which keeps
            nobody from going back.
    """
    reason = given.get("reason", "").strip()
    if tokens_in(reason) and group is not Group.BACK:
        raise InvalidInput(
            "a token stands in the reason, which others can read", where="reason",
            next_step="Leave it out; if you sent it anywhere, revoke it")
    reason = without_tokens(reason)
    _refuse_unreadable(reason, "reason")
    if not 0 < len(reason) <= MOST_REASON:
        raise InvalidInput(
            "a reason is missing" if not reason else "the reason is too long",
            where="reason", allowed=f"1 to {MOST_REASON} characters")
    return reason


def _refuse_unreadable(text: str, where: str) -> None:
    """Refuse what cannot be stored everywhere, or is shown as something else than it is.

    Raises:
        InvalidInput: It has such characters.
    """
    for each in text:
        is_control = unicodedata.category(each) in ("Cc", "Cs")
        # they have the words after them shown in another order
        if is_control or each in _TURNING:
            raise InvalidInput(
                f"the character U+{ord(each):04X} is not allowed", where=where,
                allowed="text in one line")


def named(soak: StageRecord) -> str:
    """Return a soak's name, so that a form is about it and no later one."""
    return f"{soak.cutover_id} {soak.key} {soak.round}"


def skips(cutover: Cutover, key: str) -> str:
    """Return the name of leaving out a stage, so that a form is about this cutover's and no other.
    """
    return f"{cutover.id} {key}"


def one(*parts: object) -> str:
    """Return what tells one thing from another of its kind, fit for a form: a text may have lines,
    which browsers change."""
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def refuse_closed(action: Action, situation: Situation) -> None:
    """Refuse an action that is not possible now.

    Raises:
        Refused: It is not.
    """
    if why := action.closed(situation):
        raise Refused(f"{action.title}: not possible because {why}")

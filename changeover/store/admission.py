"""Whether an answer counts: the plan's rules, proofs, four eyes. A refusal is audited.

Everything happens in the transaction that would save the answer: the plan in force then counts, a
code is spent with the answer, and a wrong one is counted with its refusal.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from changeover.domain import approvers
from changeover.domain.approvers import Problem, Rules
from changeover.domain.audit import NewEvent
from changeover.domain.rollout import StageAction
from changeover.domain.tokens import ApproverToken, without_tokens
from changeover.errors import ApprovalRefused
from changeover.plan.people import person
from changeover.store import approver_codes, approver_tokens, audit, plans, typed_tokens
from changeover.store.approver_codes import Code, Purpose
from changeover.store.engine import Store

REFUSED = "approval.refused"
MOST_WRONG = 5
"""So many wrong codes of a person within `WRONG_WITHIN`; then theirs are not looked at."""
WRONG_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says, and how they show who they are.

    Args:
        migration: The migration.
        subject: What it is about, as in `rules_of`.
        name: Who.
        decision: What.
        about: What a code for it is about.
        code: A code from a form; it is spent.
        token: The token that was found by its text.
        texts: What else they wrote: no token may stand in it.
        once: The same for the same form that is read again after a kill; empty: said anew.
        is_proven: Whether they have shown who they are in another way.
        rules: Who may say it, where that is not what the plan says of `subject`.
    """

    migration: str
    subject: str
    name: str
    decision: StageAction = StageAction.PROMOTE
    about: str = ""
    code: str = field(default="", repr=False)
    token: ApproverToken | None = None
    texts: tuple[str, ...] = ()
    once: str = ""
    is_proven: bool = False
    rules: Rules | None = None


def refusal_in(
    session: Session, said: Said, starters: Collection[str], *, now: datetime
) -> ApprovalRefused | None:
    """Return why what a person says does not count, audited; None when it does.

    The caller's transaction must be committed all the same.
    """
    audit.lock(session, said.migration)
    if known := _known(session, said):
        return _error(said, known)
    rules = said.rules
    if rules is None:
        rules = approvers.rules_of(plans.plan_in(session, said.migration), said.subject)
    typed = _typed(session, said, now)
    is_proven, why = (False, typed) if typed else _proof(session, said, rules, now)
    is_guess = bool(why) and bool(said.code) and not typed
    problem = approvers.refusal(
        rules, said.name, said.decision, starters, is_proven=is_proven or bool(why))
    reason = why if problem is None else _reason(problem, said, rules)
    if not reason:
        return None
    return _refused(session, said, reason, now, is_wrong_code=is_guess)


def unproven_in(session: Session, said: Said, *, now: datetime) -> ApprovalRefused | None:
    """Return why a person has not shown who they are, audited; None when they have, or need not."""
    audit.lock(session, said.migration)
    plan = plans.plan_in(session, said.migration)
    needs = any(each.tokens for each in approvers.all_rules(plan))
    if typed := _typed(session, said, now):
        return _refused(session, said, typed, now, is_wrong_code=False)
    is_proven, why = _proof(session, said, Rules(tokens=needs), now)
    if is_proven or not needs:
        return None
    reason = why or _reason(Problem.UNPROVEN, said, Rules())
    return _refused(session, said, reason, now, is_wrong_code=bool(why))


def _typed(session: Session, said: Said, now: datetime) -> str:
    """Return why nothing counts that has a token in it, which is revoked; empty: it has none."""
    # also where no code is wanted: it stays readable in Prefect all the same
    return typed_tokens.revoke_in(session, (said.name, said.code, *said.texts), now=now)


def refuse(store: Store, said: Said, reason: str, *, now: datetime) -> ApprovalRefused:
    """Audit that what a person gave shows nothing, and return the error that says so."""
    with store.begin() as session:
        audit.lock(session, said.migration)
        return _refused(session, said, reason, now, is_wrong_code=False)


def _refused(
    session: Session, said: Said, reason: str, now: datetime, *, is_wrong_code: bool
) -> ApprovalRefused:
    """Audit a refusal and return it."""
    audit.append(session, said.migration, NewEvent(
        actor=without_tokens(said.name)[:100], kind=REFUSED, at=now, once_key=said.once,
        data={"subject": said.subject, "decision": said.decision, "reason": reason,
              "is_wrong_code": is_wrong_code}))
    return _error(said, reason)


def _proof(session: Session, said: Said, rules: Rules, now: datetime) -> tuple[bool, str]:
    """Return whether a person has shown who they are, or why what they gave shows nothing."""
    if said.is_proven or not rules.tokens:
        return said.is_proven, ""
    if said.token is not None:
        return _by_token(session, said, said.token, now)
    if not said.code:
        return False, ""
    if _is_limited(session, said, now):
        return False, (f"{MOST_WRONG} wrong codes were given for {said.name} within "
                       f"{WRONG_WITHIN.seconds // 60} minutes; no code counts for a while, a token "
                       "at the command line does")
    purpose = Purpose(said.migration, said.name, said.about)
    found = approver_codes.spend_in(session, purpose, said.code, now=now)
    if found is Code.RIGHT:
        return True, ""
    what = "was used or is too old" if found is Code.OVER else "is wrong"
    return False, (f"the code {what}; make another with `changeover approver code "
                   f"{said.decision} --approver {said.name}`")


def _by_token(
    session: Session, said: Said, token: ApproverToken, now: datetime
) -> tuple[bool, str]:
    if not approver_tokens.is_valid_in(session, token, now):
        return False, "the token is not valid any more"
    if person(token.name) != person(said.name):
        return False, f"the token is {token.name}'s"
    return True, ""


def _is_limited(session: Session, said: Said, now: datetime) -> bool:
    """Whether too many wrong codes were given for a person a short time ago."""
    query = select(audit.AuditRow).where(
        audit.AuditRow.migration == said.migration, audit.AuditRow.kind == REFUSED,
        audit.AuditRow.at > (now - WRONG_WITHIN).isoformat())
    wrong = 0
    for row in session.scalars(query):
        is_same = person(row.actor) == person(said.name[:100])
        wrong += is_same and '"is_wrong_code":true' in row.data
    return wrong >= MOST_WRONG


def _known(session: Session, said: Said) -> str:
    """Return why the same form was refused before; empty when it was not."""
    if not said.once:
        return ""
    query = select(audit.AuditRow).filter_by(migration=said.migration, once_key=said.once)
    row = session.scalar(query)
    return str(json.loads(row.data)["reason"]) if row is not None else ""


def _reason(problem: Problem, said: Said, rules: Rules) -> str:
    if problem is Problem.UNLISTED:
        listed = ", ".join(rules.names or ()) or "nobody is"
        return f"{said.name} is not listed as an approver; listed: {listed}"
    if problem is Problem.STARTER:
        return f"{said.name} started it, and the plan wants four eyes: another person must agree"
    return (f"{said.name} has not shown who they are; `changeover approver code {said.decision} "
            f"--approver {said.name}` makes a code for the form")


def _error(said: Said, reason: str) -> ApprovalRefused:
    about = f" about {said.subject}" if said.subject else ""
    reason = without_tokens(reason)
    return ApprovalRefused(f"not taken because {reason}", where=f"{said.migration}{about}")

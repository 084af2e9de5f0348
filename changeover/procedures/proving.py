"""Showing who somebody is, before what they say is stored: by a token, or with a code for a form.
"""

from __future__ import annotations

from changeover import clock
from changeover.domain.approvers import STARTING, rules_of
from changeover.domain.rollout import Answer, Approval
from changeover.domain.tokens import ApproverToken
from changeover.plan.people import person
from changeover.site.site import Site
from changeover.store import admission, approvals, approver_codes, approver_tokens
from changeover.store.admission import Said
from changeover.store.approver_codes import Purpose


def token(site: Site, name: str, text: str) -> ApproverToken:
    """Return a person's token by its text. Another one is refused, and that is audited.

    Raises:
        ApprovalRefused: There is none, it is not valid any more, or it is somebody else's.
    """
    now = clock.now()
    found = approver_tokens.find(site.store, site.migration, text, now=now)
    if found is not None and person(found.name) == person(name):
        return found
    reason = ("this token is not valid; `changeover approver list` shows who has one, and "
              "`changeover approver rotate NAME` makes another")
    if found is not None:
        reason = f"the token is {found.name}'s, not {name}'s"
    raise admission.refuse(
        site.store, Said(site.migration, "", name), reason, now=now)


def code_for_form(site: Site, asked: Approval, given: Answer, *, source: str) -> str:
    """Return a code with which the form takes a person's answer; empty: it takes a typed name.

    What would be refused anyway is refused, and audited, before the form is touched.

    Args:
        site: The migration.
        asked: The question.
        given: The answer of a person who has shown who they are, if the plan wants that.
        source: How: `cli` or `console`.

    Raises:
        ApprovalRefused: By the plan this person's answer does not count.
    """
    approvals.check(site.store, asked.id, given, now=clock.now())
    if not rules_of(site.plan, asked.stage).tokens:
        return ""
    # for this answer to this question only: whoever sees it can do nothing else with it
    about = approver_codes.about(asked.id, given.decision)
    purpose = Purpose(site.migration, given.approver, about, source)
    return approver_codes.issue(site.store, purpose, now=clock.now())


def code_to_start(site: Site, name: str) -> str:
    """Return a code that shows who starts a cutover or a retirement."""
    purpose = Purpose(site.migration, name, STARTING)
    return approver_codes.issue(site.store, purpose, now=clock.now())

"""Who signed in at the console, how, and how much they may do there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from changeover.domain.approvers import all_rules
from changeover.domain.tokens import Scope
from changeover.plan.model import Plan

LONGEST = timedelta(hours=8)
"""How long a session with a token lasts where the plan says nothing of sessions."""
WALL = timedelta(days=90)
"""How long a screen on a wall may show the pages before its link is opened again."""


class Source(StrEnum):
    """How somebody signed in."""

    OIDC = "oidc"  # at the provider of the plan
    APPROVER = "approver"  # with the personal token of an approver
    TOKEN = "token"  # noqa: S105  with a token of the console


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session of somebody at the console.

    Args:
        migration: The migration.
        name: The person's name, or that of the token.
        began_at: Since when.
        expires_at: Until when.
        source: How they signed in.
        token_id: Id of the token with which they did; empty for OpenID Connect.
        scope: What that token may do; None for people, whose rights are the plan's.
    """

    migration: str
    name: str
    began_at: datetime
    expires_at: datetime
    source: Source = Source.OIDC
    token_id: str = ""
    scope: Scope | None = None

    @property
    def is_person(self) -> bool:
        """Whether they have shown who they are, and not only that they have a token."""
        return self.source is not Source.TOKEN

    @property
    def by(self) -> str:
        """How they signed in, for the audit: `oidc`, `approver 3f9a51c0d2e4`."""
        return f"{self.source} {self.token_id}".strip()


def rights(who: SignedIn, plan: Plan) -> Scope:
    """Return what somebody who signed in may do, by the plan in force.

    A person may act who may answer any question of the plan: where it names nobody, everybody.
    A token may what it was made for.
    """
    if who.scope is not None:
        return who.scope
    is_listed = any(each.allows(who.name) for each in all_rules(plan))
    return Scope.ADMIN if is_listed else Scope.READ

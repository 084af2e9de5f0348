"""How far somebody who is told of decisions has come, and when one is given up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.domain.audit import AuditEvent
from changeover.plan.model import Plan

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=10)
"""A receiver that was away for hours has what it missed soon after it is back."""
LEASE = timedelta(seconds=60)
"""A process that says nothing for this long no longer sends; one delivery takes far less."""

PREFECT = "prefect"
"""The target that is Prefect's event feed."""


@dataclass(frozen=True, slots=True)
class Relay:
    """How far one receiver has come in a migration's audit.

    Args:
        migration: Whose audit.
        target: Who is told: `prefect`, or `webhook NAME`.
        seq: The last event of the audit that it has, or does not want.
        attempts: How often the next one was tried.
        next_at: When the next attempt is due.
        failing_since: When it last stopped taking events; None while it takes them.
        problem: Why the last attempt failed; empty when it did not.
        given_up: How many events were given up so far.
        holder: The process that sends now; empty when none does.
        lease_until: Until when no other process may send.
    """

    migration: str
    target: str
    seq: int
    attempts: int
    next_at: datetime
    failing_since: datetime | None = None
    problem: str = ""
    given_up: int = 0
    holder: str = ""
    lease_until: datetime | None = None


def target_of(name: str) -> str:
    """Return the name under which the store knows a webhook's place."""
    return f"webhook {name}"


def target_of_team(name: str) -> str:
    """Return the name under which the store knows a team's place."""
    return f"team {name}"


def in_force(relays: Iterable[Relay], plan: Plan) -> list[Relay]:
    """Return the relays that are told still: a plan that was amended may name a webhook no more.

    Its place stays: where a later plan names it again, it goes on from there.
    """
    teams = [target_of_team(spec.team) for spec in plan.notify if spec.team]
    told = {PREFECT, *map(target_of, plan.webhooks), *teams}
    return [each for each in relays if each.target in told]


def may_send(relay: Relay, holder: str, now: datetime) -> bool:
    """Whether a process may send: nobody else does, and the next attempt is due."""
    is_others = relay.holder not in ("", holder)
    is_leased = relay.lease_until is not None and now < relay.lease_until
    return now >= relay.next_at and not (is_others and is_leased)


def wait_after(attempts: int) -> timedelta:
    """Return how long is waited after so many attempts, twice as long each time up to a limit."""
    # the exponent is bounded, too: after a thousand attempts its power would be no number
    doublings = min(max(0, attempts - 1), 16)
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << doublings))


def given_up(
    waiting: Sequence[AuditEvent], failing_since: datetime, limit: timedelta, now: datetime
) -> list[AuditEvent]:
    """Return which events, the oldest first, are given up because the receiver fails for so long.

    Only what happened longer ago than `limit` is: younger events wait their own time. While the
    receiver has failed for less than that, nothing is, however old it is, as after our own absence.
    """
    if now - failing_since < limit:
        return []
    old = []
    for event in waiting:
        # in order: behind one that is kept, all are
        if now - event.at < limit:
            break
        old.append(event)
    return old

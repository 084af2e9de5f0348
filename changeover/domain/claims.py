"""Which system may act on an item: what a claim allows, refuses and becomes. Pure.

In `parallel` mode both systems work on everything; only what holds the claim may have effects.
Rows and transactions are `changeover.store.claims`.

    free ── claim ──▶ held ── complete ──▶ done (for ever)
     ▲                 │ └── fail, hand over: free for the other system
     └── release ──────┘ └── lease over: whoever is entitled may claim, with a higher token
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from changeover.domain.routing import TRIED, Explanation, Mode, RoutingState, System, explain
from changeover.plan.routing import HASHED, KeyRule


class Status(StrEnum):
    """How an item stands."""

    FREE = "free"  # nobody acts on it
    HELD = "held"  # one holder may act on it until its lease is over
    DONE = "done"  # it was acted on; nobody ever claims it again


class Why(StrEnum):
    """Why something is refused, for programs."""

    NOT_ENTITLED = "not_entitled"  # the other system has the right
    MAINTENANCE = "maintenance"  # nobody may claim now
    HELD = "held"  # another holder's lease runs
    DONE = "done"  # it was done before
    STALE = "stale_token"  # the token is not the newest: another holder came after
    UNKNOWN = "unknown_item"  # nobody ever claimed it


@dataclass(frozen=True, slots=True)
class Claim:
    """An item's claim. `token` grows with every holder; the effect's target refuses lower ones.

    `given_to` names the system that the item was handed to: the baseline whatever the routing state
    says, the candidate while users are on it. `epoch` is the routing state's when this holder
    failed, -1 when it did not.
    """

    item: str
    status: Status
    system: str
    holder: str
    token: int
    claimed_at: datetime
    expires_at: datetime
    given_to: str = ""
    reason: str = ""
    epoch: int = -1

    def is_running(self, now: datetime) -> bool:
        """Whether its holder may act."""
        return self.status is Status.HELD and now < self.expires_at


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that changes nothing, and why; `claim` is what holds instead."""

    why: Why
    reason: str
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class NewClaim:
    """Somebody wants to act on an item.

    Args:
        item: Name of the item.
        system: Of which system the one who asks is.
        holder: Who asks; the same name asking again is the same holder.
        lease: How long the claim holds unless it is renewed.
        key: The key that decides between the systems; empty for the item itself.
        segments: Segments that the item's user belongs to.
        rule: How the plan makes a bucket of a key.
    """

    item: str
    system: System
    holder: str
    lease: timedelta
    key: str = ""
    segments: frozenset[str] = frozenset()
    rule: KeyRule = HASHED

    def decision(self, state: RoutingState) -> Explanation:
        """Return which system the routing state gives the item's user to, and why."""
        return explain(state, self.key or self.item, self.segments, rule=self.rule)


def claim(
    wanted: NewClaim, present: Claim | None, state: RoutingState, now: datetime
) -> Claim | Refusal:
    """Return the claim that a request leads to, or why it is refused.

    The same holder asking again while its lease runs gets the same token and a new lease, where
    `renew` would give one. After its lease the same name gets a higher token: the process behind it
    may be another one.
    """
    if present is not None and present.status is Status.DONE:
        return Refusal(Why.DONE, f"{wanted.item} was done by {present.holder} ({present.system}), "
                       f"who claimed it at {present.claimed_at:%Y-%m-%d %H:%M:%S}", present)
    # before maintenance and mode: whoever holds an item goes on with it
    if present is not None and present.is_running(now):
        if (present.holder, present.system) == (wanted.holder, wanted.system):
            return renew(present, present.token, wanted.lease, state=state, now=now)
        return Refusal(Why.HELD, f"{wanted.item} is held by {present.holder} ({present.system}) "
                       f"until {present.expires_at:%H:%M:%S}", present)
    if state.maintenance:
        return Refusal(Why.MAINTENANCE, f"maintenance: {state.maintenance_reason}", present)
    given_to = _given_to(present, state)
    # a hand-over goes before the routing: somebody had a reason for it
    if present is not None and given_to:
        refusal = _not_handed(wanted, present, given_to)
    else:
        refusal = _not_entitled(wanted, present, wanted.decision(state))
    if refusal is not None:
        return refusal
    return Claim(
        wanted.item, Status.HELD, wanted.system, wanted.holder,
        # it grows with every holder: the effect's target tells an old one by that
        token=1 if present is None else present.token + 1, claimed_at=now,
        expires_at=now + wanted.lease, given_to=given_to,
    )


def renew(
    present: Claim | None, token: int, lease: timedelta, *, state: RoutingState, now: datetime
) -> Claim | Refusal:
    """Return the claim with a new lease; after a rollback the candidate's are not renewed.

    A lease that is over may be renewed as long as nobody else claimed the item.
    """
    found = _owned(present, token)
    if isinstance(found, Refusal):
        return found
    if found.status is not Status.HELD:
        return Refusal(Why.STALE, f"{found.item} is {found.status}", found)
    # its users are back at the baseline, which must not wait for leases of the candidate
    if state.mode is Mode.EMERGENCY_ROLLBACK and found.system == System.CANDIDATE:
        return Refusal(Why.NOT_ENTITLED, "not renewed because of the emergency rollback: finish "
                       "what was begun, or let the baseline have it", found)
    return replace(found, expires_at=now + lease)


def complete(present: Claim | None, token: int) -> Claim | Refusal:
    """Return the claim as done. Doing it again changes nothing; an older token is refused."""
    found = _owned(present, token)
    if isinstance(found, Refusal):
        return found
    if found.status is Status.FREE:
        return Refusal(Why.STALE, f"{found.item} was given back", found)
    return replace(found, status=Status.DONE)


def release(present: Claim | None, token: int, now: datetime) -> Claim | Refusal:
    """Return the claim as free: whoever is entitled may claim it at once."""
    found = _open(present, token)
    return found if isinstance(found, Refusal) else _freed(found, now)


def hand_over(
    present: Claim | None, token: int, to: System, *, reason: str, state: RoutingState,
    now: datetime,
) -> Claim | Refusal:
    """Return the claim as free for the system `to` alone.

    To the baseline at any time; to the candidate only while users are on it, and no longer.
    """
    found = _open(present, token)
    if isinstance(found, Refusal):
        return found
    if to is System.CANDIDATE and state.mode not in TRIED:
        return Refusal(Why.NOT_ENTITLED, f"not handed to the candidate because the mode is "
                       f"{state.mode}", found)
    return replace(_freed(found, now), given_to=str(to), reason=reason)


def fail(
    present: Claim | None, token: int, reason: str, *, state: RoutingState, now: datetime
) -> Claim | Refusal:
    """Return the claim as free: what the candidate failed is the baseline's from now on.

    What the baseline failed may be claimed by whoever is entitled. Who gave an item back or handed
    it over cannot fail it any more.
    """
    found = _open(present, token)
    if isinstance(found, Refusal):
        return found
    if found.status is Status.FREE and found.epoch >= 0:  # asked again: the first time counts
        return found
    if found.status is Status.FREE:
        return Refusal(Why.STALE, f"{found.item} was given back", found)
    # the baseline's own failure is nobody else's: the entitlement stays as it was
    to = str(System.BASELINE) if found.system == System.CANDIDATE else found.given_to
    return replace(_freed(found, now), given_to=to, reason=reason, epoch=state.epoch)


def trips_rollback(failed: Claim, state: RoutingState, *, is_wanted: bool) -> bool:
    """Whether a failed item calls for the emergency rollback, as the plan may say.

    Only in `candidate_only`, and only for a failure of this epoch: one from before a rollback and
    a recovery, reported again, is old news.
    """
    return (is_wanted and state.mode is Mode.CANDIDATE_ONLY and failed.epoch == state.epoch
            and failed.system == System.CANDIDATE)


def _given_to(present: Claim | None, state: RoutingState) -> str:
    """Return the system that an item is handed to in this mode, '' for neither.

    The candidate has nothing while no users are on it: what it was handed before a rollback is the
    baseline's again.
    """
    if present is None or (
        present.given_to == System.CANDIDATE and state.mode not in TRIED
    ):
        return ""
    return present.given_to


def _not_handed(wanted: NewClaim, present: Claim, given_to: str) -> Refusal | None:
    """Refuse the system that an item was not handed to."""
    if given_to == wanted.system:
        return None
    why = f": {present.reason}" if present.reason else ""
    return Refusal(Why.NOT_ENTITLED, f"{wanted.item} was handed to the {given_to}{why}", present)


def _not_entitled(
    wanted: NewClaim, present: Claim | None, decision: Explanation
) -> Refusal | None:
    """Refuse the system that the routing state does not give the item's user to."""
    if decision.system is wanted.system:
        return None
    return Refusal(
        Why.NOT_ENTITLED,
        f"{wanted.item} belongs to the {decision.system} because {decision.because}", present)


def _owned(present: Claim | None, token: int) -> Claim | Refusal:
    """Return the claim if `token` is its newest."""
    if present is None:
        return Refusal(Why.UNKNOWN, "nobody ever claimed this item")
    if present.token != token:
        return Refusal(Why.STALE, f"token {token} is not the newest of {present.item} "
                       f"({present.token})", present)
    return present


def _open(present: Claim | None, token: int) -> Claim | Refusal:
    found = _owned(present, token)
    if isinstance(found, Claim) and found.status is Status.DONE:
        return Refusal(Why.DONE, f"{found.item} is done", found)
    return found


def _freed(found: Claim, now: datetime) -> Claim:
    return replace(found, status=Status.FREE, expires_at=min(found.expires_at, now))

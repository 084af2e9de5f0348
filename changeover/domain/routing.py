"""Which system answers whom: modes, allowed transitions, buckets, `decide`. Pure.

The gateway, flags, the command line and reports all derive from these rules, so they always agree.
Writing the state is `changeover.store.routing`; carrying it to Envoy is `changeover.gateway`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from changeover.domain.buckets import BLANKS as BLANKS
from changeover.domain.buckets import BUCKETS as BUCKETS
from changeover.domain.buckets import Key as Key
from changeover.domain.buckets import bucket as bucket
from changeover.domain.buckets import digest as digest
from changeover.domain.buckets import number_of
from changeover.domain.buckets import values_of as values_of
from changeover.domain.closed_ways import NEXT_STEP, why_not
from changeover.domain.routing_state import MODES_COPIED as MODES_COPIED
from changeover.domain.routing_state import ON_USERS as ON_USERS
from changeover.domain.routing_state import ROLLED_BACK as ROLLED_BACK
from changeover.domain.routing_state import SPLIT as SPLIT
from changeover.domain.routing_state import TRANSITIONS as TRANSITIONS
from changeover.domain.routing_state import TRIED as TRIED
from changeover.domain.routing_state import Change as Change
from changeover.domain.routing_state import Lead as Lead
from changeover.domain.routing_state import Mode as Mode
from changeover.domain.routing_state import RoutingState as RoutingState
from changeover.domain.routing_state import System as System
from changeover.errors import InvalidInput, StaleEpoch, TransitionRefused
from changeover.plan.routes import RouteSpec
from changeover.plan.routing import HASHED, KeyRule
from changeover.plan.units import format_percent


def decide(
    state: RoutingState, key: Key | None, segments: frozenset[str] = frozenset(), *,
    rule: KeyRule = HASHED, route: RouteSpec | None = None,
) -> System:
    """Return the system whose answer a user gets.

    Args:
        state: The routing state.
        key: The user's key; None or empty when the request carries none.
        segments: Names of the segments the user belongs to.
        rule: How the plan makes a bucket of a key.
        route: The route that the request is of; None: of the rest.
    """
    return explain(state, key, segments, rule=rule, route=route).system


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which system a user gets, and why; `bucket` is None when the request carries no key."""

    system: System
    because: str
    bucket: int | None = None


def explain(
    state: RoutingState, key: Key | None, segments: frozenset[str] = frozenset(), *,
    rule: KeyRule = HASHED, route: RouteSpec | None = None,
) -> Explanation:
    """Return which system's answer a user gets, with the reason in words.

    Args:
        state: The routing state.
        key: The user's key as it stands in the request; None or empty without one.
        segments: Names of the segments the user belongs to.
        rule: How the plan makes a bucket of a key.
        route: The route that the request is of; None: of the rest.
    """
    number, why_none = _number(key, rule)
    return _explained(state, _User(number, why_none, segments), route)


def decide_by_bucket(
    state: RoutingState, number: int | None, segments: frozenset[str] = frozenset()
) -> System:
    """Return the system whose answer a user gets, by the bucket that the gateway found."""
    return _explained(state, _User(number, "a request without a key", segments), None).system


@dataclass(frozen=True, slots=True)
class Place:
    """Where a route of its own stands: its buckets, and why they are not all that there are."""

    buckets: int
    because: str
    is_kept: bool = False


def place_of(state: RoutingState, route: RouteSpec | None) -> Place | None:
    """Return where a route stands in a mode in which users may get the candidate.

    Args:
        state: The routing state.
        route: The route; None for requests of none.

    Returns:
        None when it is where everything else is.
    """
    if route is None or state.mode not in ON_USERS:
        return None
    name = f"route {route.name}"
    if route.name in state.kept_routes:
        return Place(0, f"{name} was rolled back", is_kept=True)
    if route.move == "never":
        return Place(0, f"{name} never moves")
    if route.move == "together" or state.mode is Mode.CANDIDATE_ONLY:
        return None
    buckets = state.buckets_of(route.name)
    said = f"{name} has moved" if buckets == BUCKETS else f"{name} is at {format_percent(buckets)}"
    return Place(buckets, said if buckets else f"{name} has not moved yet")


@dataclass(frozen=True, slots=True)
class _User:
    number: int | None
    why_none: str
    segments: frozenset[str]


def _explained(state: RoutingState, user: _User, route: RouteSpec | None) -> Explanation:
    number, segments = user.number, user.segments
    place = place_of(state, route)
    share = f"{state.mode} {format_percent(state.weight)}"
    if place is not None and not place.buckets:
        return Explanation(System.BASELINE, f"{place.because} ({share})", number)
    if state.mode not in SPLIT:
        system = System.CANDIDATE if state.mode is Mode.CANDIDATE_ONLY else System.BASELINE
        # the bucket is named all the same: a person may want to know where a user would be
        return Explanation(system, f"the mode is {state.mode}", number)
    kept = [name for name in state.kept if name in segments]
    if kept:
        return Explanation(System.BASELINE, f"segment {kept[0]} was rolled back ({share})", number)
    if place is not None:
        return _of_route(place, user)
    moved = [name for name in state.segments if name in segments]
    is_left = number is not None and number < state.segment_weight
    if moved and (is_left or state.segment_weight == BUCKETS):
        return Explanation(System.CANDIDATE, f"segment {moved[0]} has moved ({share})", number)
    return _drawn(user, state.weight, share)


def _of_route(place: Place, user: _User) -> Explanation:
    # all of it: also those without a key
    if place.buckets == BUCKETS:
        return Explanation(System.CANDIDATE, place.because, user.number)
    return _drawn(user, place.buckets, place.because)


def _drawn(user: _User, buckets: int, share: str) -> Explanation:
    number = user.number
    if number is None:
        return Explanation(System.BASELINE, f"{user.why_none} stays at the baseline ({share})")
    is_moved = number < buckets
    relation = "below" if is_moved else "at or above"
    return Explanation(System.CANDIDATE if is_moved else System.BASELINE,
                       f"bucket {number} is {relation} {buckets} ({share})", number)


def _number(key: Key | None, rule: KeyRule) -> tuple[int | None, str]:
    """Return the bucket of a request, or None and what it is that has none."""
    try:
        number = number_of(key, rule)
        is_numbered = number is not None or not values_of(key)
    except UnicodeEncodeError:
        return None, "a key that no request can carry"
    return number, "a request without a key" if is_numbered else "a key without a number at its end"


def apply(state: RoutingState, change: Change) -> RoutingState:
    """Return the state after `change`, with the next version; raises when a rule forbids it.

    Going to `emergency_rollback` or `baseline_only` takes all traffic from the candidate, and
    a rollback raises the epoch when it begins: at once, or with its first step (`returning`).
    A rollback while already rolled back returns the state unchanged. One whose `above` is later
    than the state begins an epoch after that: no gateway goes back to an older version.

    Raises:
        StaleEpoch: `expected_epoch` is not the state's: a rollback came first; or
            `expected_version` is not.
        TransitionRefused: The mode may not be left or entered this way, or knows no such part.
        InvalidInput: `weight` or `shadow_sample` outside 0..10_000.
    """
    _refuse_stale(state, change)
    if _is_done(state, change):
        return state
    if change.takes_back:
        change = _taking_back(state, change)
    mode = change.mode or state.mode
    _refuse_forbidden(state, change, mode)
    weight, segments = _shares(state, change, mode)
    maintenance = state.maintenance if change.maintenance is None else change.maintenance
    epoch, version = _next_order(state, change, mode)
    return replace(
        state,
        mode=mode,
        weight=weight,
        segments=segments,
        kept=_kept(state, change, mode),
        segment_weight=_segment_weight(state, change, mode),
        routes=_routes(state, change, mode),
        kept_routes=_kept_routes(state, change, mode),
        maintenance=maintenance,
        maintenance_reason=_reason(state, change, maintenance),
        shadow_sample=_in_buckets("shadow_sample", change.shadow_sample, state.shadow_sample)
        if mode not in ROLLED_BACK else 0,
        version=version,
        epoch=epoch,
    )


def _next_order(state: RoutingState, change: Change, mode: Mode) -> tuple[int, int]:
    above = change.above
    if mode in ROLLED_BACK and above is not None and above > state.order:
        return above[0] + 1, max(state.version, above[1]) + 1
    begins = mode in ROLLED_BACK and state.mode not in ROLLED_BACK
    return state.epoch + begins, state.version + 1


def _is_done(state: RoutingState, change: Change) -> bool:
    """Whether a rollback is said twice, by a trigger and a person: one epoch, not two."""
    if change.takes_back:
        return is_back(state, change.takes_back)
    is_again = change.mode is Mode.EMERGENCY_ROLLBACK and state.mode is change.mode
    return is_again and (change.above is None or change.above <= state.order)


def _refuse_stale(state: RoutingState, change: Change) -> None:
    if change.expected_epoch is not None and change.expected_epoch != state.epoch:
        raise StaleEpoch(
            f"not changed because a rollback came first (epoch {state.epoch}, "
            f"this began in epoch {change.expected_epoch})",
            where=f"migration {state.migration}",
            next_step="Read `changeover history`, and start a new cutover when the cause is mended",
        )


    if change.expected_version not in (None, state.version):
        raise StaleEpoch(
            f"not changed because the routing state changed meanwhile (version {state.version}, "
            f"this began with version {change.expected_version})",
            where=f"migration {state.migration}",
            next_step="Look at `changeover status`, and decide again",
        )


def users_come(before: RoutingState, after: RoutingState) -> bool:
    """Whether users come to the candidate who were not there in the state before.

    A new epoch in between was a rollback: users went back and came again. Only a return in steps
    begins with the same users.
    """
    is_same = before.epoch == after.epoch or after.mode is Mode.RETURNING
    return after.mode in ON_USERS and not (is_same and before.mode in ON_USERS)


def is_back(state: RoutingState, part: str) -> bool:
    """Whether a part, `segment:NAME` or `route:NAME`, was taken back to the baseline alone."""
    kind, _, name = part.partition(":")
    if kind == "segment":
        return name in state.kept and name not in state.segments
    return name in state.kept_routes and not dict(state.routes).get(name)


def _taking_back(state: RoutingState, change: Change) -> Change:
    """Return the change of this very state by which a part goes back and all else stays."""
    kind, _, name = change.takes_back.partition(":")
    if state.mode not in (SPLIT if kind == "segment" else TRIED):
        raise TransitionRefused(
            f"{change.takes_back} was not taken back because the routing state is "
            f"{state.describe()}", where=f"migration {state.migration}",
            next_step="Use scope `all`")
    if kind == "segment":
        return replace(
            change, segments=tuple(each for each in state.segments if each != name),
            kept=tuple(sorted({*state.kept, name})))
    return replace(
        change, routes=((name, 0),), kept_routes=tuple(sorted({*state.kept_routes, name})))


def _reason(state: RoutingState, change: Change, maintenance: bool) -> str:
    if not maintenance:
        return ""
    return change.maintenance_reason or state.maintenance_reason


def _shares(state: RoutingState, change: Change, mode: Mode) -> tuple[int, tuple[str, ...]]:
    """Return (weight, segments) in `mode`: only where users are split there is a choice."""
    if mode is Mode.CANDIDATE_ONLY:
        return BUCKETS, ()
    if mode not in SPLIT:
        return 0, ()
    weight = _in_buckets("weight", change.weight, state.weight)
    if mode is Mode.RETURNING:  # who is back stays back
        return min(weight, state.weight), state.segments
    return weight, state.segments if change.segments is None else change.segments


def _kept(state: RoutingState, change: Change, mode: Mode) -> tuple[str, ...]:
    """Return the segments that stay at the baseline in `mode`."""
    if mode not in SPLIT:
        return ()
    return state.kept if change.kept is None else change.kept


def _routes(
    state: RoutingState, change: Change, mode: Mode
) -> tuple[tuple[str, int], ...]:
    """Return the buckets of each route of its own in `mode`."""
    if mode not in ON_USERS:
        return ()
    if mode is Mode.RETURNING:  # what is back stays back
        return state.routes
    found = dict(state.routes)
    for name, weight in change.routes:
        found[name] = _in_buckets(f"weight of route {name}", weight, 0)
    return tuple(sorted((name, weight) for name, weight in found.items() if weight))


def _kept_routes(state: RoutingState, change: Change, mode: Mode) -> tuple[str, ...]:
    """Return the routes that stay at the baseline in `mode`."""
    if mode not in ON_USERS:
        return ()
    if change.kept_routes is not None:
        return change.kept_routes
    moved = {name for name, weight in change.routes if weight}
    return tuple(name for name in state.kept_routes if name not in moved)


def _segment_weight(state: RoutingState, change: Change, mode: Mode) -> int:
    """Return how many buckets of the segments' users are left to the candidate in `mode`."""
    if mode is not Mode.RETURNING:
        return BUCKETS
    wished = _in_buckets("segment_weight", change.segment_weight, state.segment_weight)
    return min(wished, state.segment_weight)


def _in_buckets(name: str, wished: int | None, present: int) -> int:
    # left as it is, it is checked all the same: a stored state may be an older version's
    value = present if wished is None else wished
    if not 0 <= value <= BUCKETS:
        raise InvalidInput(f"{name} {value} is outside 0 to {BUCKETS}")
    return value


def _refuse_forbidden(state: RoutingState, change: Change, mode: Mode) -> None:
    """Raise TransitionRefused unless the way from the present mode to `mode` is open."""
    if change.mode is None or (mode is state.mode and mode not in SPLIT):
        return
    leaves_rollback = state.mode is Mode.EMERGENCY_ROLLBACK
    if mode not in TRANSITIONS[state.mode]:
        why = why_not(state.mode, mode)
    elif leaves_rollback and not change.is_by_person:
        why = "only a person ends an emergency rollback"
    else:
        return
    open_ways = ", ".join(sorted(TRANSITIONS[state.mode]))
    raise TransitionRefused(
        f"not changed from {state.mode} to {mode} because {why}",
        where=f"migration {state.migration}",
        allowed=f"from {state.mode} to {open_ways}",
        next_step=NEXT_STEP.get(state.mode, ""),
    )


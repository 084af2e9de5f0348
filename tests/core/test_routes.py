"""Named parts of the traffic: which a request is of, where each stands, and how it goes back."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.going_back import of_document, scopes, smaller
from changeover.domain.route_matching import Request, route_of
from changeover.domain.routing import (
    BUCKETS,
    ON_USERS,
    Change,
    Mode,
    RoutingState,
    System,
    apply,
    bucket,
    decide,
    explain,
)
from changeover.domain.stages import (
    change_for,
    everyone,
    has_share,
    is_ahead,
    split_of,
    stage_at,
)
from changeover.errors import InvalidInput, Refused, StaleEpoch
from changeover.plan.model import Plan
from changeover.site import route_status

ROUTES = [
    {"name": "login", "path": {"exact": "/login"}, "move": "never"},
    {"name": "orders", "path": {"prefix": "/orders"}},
    {"name": "search", "path": {"prefix": "/search"}},
    {"name": "static", "path": {"prefix": "/static/"}, "move": "together"},
]
PLAN = Plan.model_validate({
    "migration": "shop",
    "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                "candidate": {"name": "new", "url": "http://127.0.0.1:2"}},
    "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
    "routes": ROUTES,
    "phases": [
        {"phase": "gradual", "routes": ["orders"],
         "stages": [{"percent": 10, "soak": 0}, {"percent": 50, "soak": 0}]},
        {"phase": "gradual", "stages": [{"percent": 25, "soak": 0}]},
        {"phase": "full", "soak": 0}],
})
weights = st.integers(0, BUCKETS)
names = st.sampled_from([str(each["name"]) for each in ROUTES])
states = st.builds(
    RoutingState, migration=st.just("shop"), mode=st.sampled_from(Mode), weight=weights,
    segments=st.sampled_from([(), ("beta",)]), segment_weight=weights,
    routes=st.dictionaries(names, weights.filter(bool)).map(lambda each: tuple(sorted(
        each.items()))),
    kept_routes=st.lists(names, unique=True).map(tuple))
keys = st.none() | st.text(min_size=1, max_size=20)


@pytest.mark.parametrize(("path", "name"), [
    ("/login", "login"), ("/login?next=/orders", "login"), ("/login/", None), ("/Login", None),
    ("/orders", "orders"), ("/orders/", "orders"), ("/orders/7?x", "orders"),
    ("/orders?x", "orders"), ("/orders-old", None), ("/static/a", "static"), ("/static", None),
])
def test_first_route_that_matches_counts(path: str, name: str | None) -> None:
    """A prefix ends at a slash or a query; a query does not matter."""
    found = route_of(PLAN.routes, Request(path))
    assert (found.name if found else None) == name


@given(state=states, key=keys, name=names)
def test_route_that_never_moves_or_went_back_is_the_baselines(
    state: RoutingState, key: str | None, name: str
) -> None:
    """In every mode, for every key; others are decided by their own share."""
    route = PLAN.route(name)
    assert route is not None
    system = decide(state, key, route=route)
    if name == "login" or name in state.kept_routes or state.mode not in ON_USERS:
        assert system is System.BASELINE
    elif state.mode is Mode.CANDIDATE_ONLY:
        assert system is System.CANDIDATE
    elif name == "static":
        assert system is decide(state, key)
    elif key is not None:
        share = state.buckets_of(name)
        assert (system is System.CANDIDATE) == (bucket(key) < share)


@given(state=states, key=keys)
def test_routes_change_nothing_for_the_rest(state: RoutingState, key: str | None) -> None:
    """A request of no route goes where it went before there were any."""
    plain = RoutingState("shop", state.mode, state.weight, state.segments,
                         segment_weight=state.segment_weight)
    assert explain(state, key) == explain(plain, key)


@given(key=st.text(min_size=1), shares=st.lists(weights, min_size=2, max_size=5))
def test_growing_share_of_a_route_never_moves_a_user_back(key: str, shares: list[int]) -> None:
    """Whoever has the candidate on a route keeps it while its share grows."""
    route, moved = PLAN.route("orders"), False
    for share in sorted(shares):
        state = RoutingState("shop", Mode.GRADUAL, routes=(("orders", share),))
        now = decide(state, key, route=route) is System.CANDIDATE
        assert now or not moved
        moved = now


def test_segments_move_no_route_of_its_own() -> None:
    """A route has its own percent only; a segment that was rolled back is so everywhere."""
    orders = PLAN.route("orders")
    state = RoutingState("shop", Mode.GRADUAL, segments=("beta",))
    assert decide(state, "u", frozenset({"beta"}), route=orders) is System.BASELINE
    state = RoutingState("shop", Mode.GRADUAL, kept=("beta",), routes=(("orders", BUCKETS),))
    assert decide(state, "u", frozenset({"beta"}), route=orders) is System.BASELINE
    assert decide(state, "u", route=orders) is System.CANDIDATE


@given(state=states, weight=weights)
def test_apply_moves_only_the_routes_that_are_named(state: RoutingState, weight: int) -> None:
    """The others stay, and a version follows."""
    if state.mode is not Mode.GRADUAL:
        return
    after = apply(state, Change(mode=Mode.GRADUAL, routes=(("orders", weight),)))
    assert dict(after.routes).get("orders", 0) == weight
    others = {name: share for name, share in state.routes if name != "orders"}
    assert {name: share for name, share in after.routes if name != "orders"} == others
    assert after.version == state.version + 1
    assert ("orders" in after.kept_routes) == ("orders" in state.kept_routes and not weight)


@given(state=states)
def test_rollback_of_everyone_puts_every_route_to_the_baseline(state: RoutingState) -> None:
    """At once, and nothing of it is left for the next cutover."""
    if state.mode is Mode.EMERGENCY_ROLLBACK:
        return
    after = apply(state, Change(mode=Mode.EMERGENCY_ROLLBACK))
    assert (after.routes, after.kept_routes) == ((), ())
    assert decide(after, "u", route=PLAN.route("orders")) is System.BASELINE


def test_apply_refuses_an_impossible_share() -> None:
    """More than all is no share."""
    with pytest.raises(InvalidInput, match="route orders 10001"):
        apply(RoutingState("shop"), Change(mode=Mode.GRADUAL, routes=(("orders", 10_001),)))


def test_routes_return_in_the_same_steps_as_everyone() -> None:
    """A rollback in steps takes ever more of each route, down to none."""
    state = apply(RoutingState("shop"), everyone_in(Mode.GRADUAL))
    left = []
    for share in (10_000, 6_000, 2_000, 0):
        state = apply(state, Change(mode=Mode.RETURNING, weight=0, segment_weight=share))
        left.append(state.buckets_of("orders"))
    assert left == [10_000, 6_000, 2_000, 0]


def everyone_in(mode: Mode) -> Change:
    change = everyone(PLAN)
    return Change(mode=mode, weight=0, routes=change.routes)


def test_stages_move_their_routes_and_are_found_again() -> None:
    """Each stage's change gives it its share, which no other stage has."""
    state = RoutingState("shop")
    for stage in PLAN.stages():
        assert is_ahead(stage, state)
        assert not has_share(state, stage, PLAN)
        state = apply(state, change_for(stage, PLAN, 0))
        assert has_share(state, stage, PLAN)
        assert stage_at(state, PLAN) == stage.key
        assert not is_ahead(stage, state)


@pytest.mark.parametrize("number", range(4))
def test_route_goes_back_alone_and_comes_again_with_the_stage(number: int) -> None:
    """It stays at the baseline, everything else stays moved; people give it back."""
    before = RoutingState("shop")
    for stage in PLAN.stages()[:number + 1]:
        before = apply(before, change_for(stage, PLAN, 0))
    left = smaller(PLAN, before, "route:orders")
    after = apply(before, left.change)
    assert left.is_of(after)
    assert of_document(asdict(left)) == left
    assert after.kept_routes == ("orders",)
    assert (after.mode, after.weight) == (before.mode, before.weight)
    assert decide(after, "u", route=PLAN.route("orders")) is System.BASELINE
    assert not has_share(after, stage, PLAN)
    assert has_share(apply(after, change_for(stage, PLAN, 0)), stage, PLAN)


PARTS = ["route:orders", "route:search", "route:static", "segment:beta"]


@given(scopes_=st.permutations(PARTS), weight=weights)
def test_parts_that_go_back_at_once_do_not_undo_each_other(
    scopes_: list[str], weight: int
) -> None:
    """Each was decided before the others were done; a second time changes nothing more."""
    before = RoutingState(
        "shop", Mode.GRADUAL, weight, segments=("beta",),
        routes=(("orders", 5_000), ("search", 2_500)))
    decided = [smaller(PLAN, before, scope) for scope in scopes_]
    after = before
    for left in decided:
        after = apply(after, left.change)
        assert left.is_of(after)
    assert (after.kept, after.kept_routes) == (("beta",), ("orders", "search", "static"))
    assert (after.segments, after.routes, after.weight) == ((), (), weight)
    for left in decided:
        assert apply(after, left.change) is after


def test_one_stage_back_is_refused_when_a_part_went_back_meanwhile() -> None:
    """What it would put in place is older than that."""
    state = RoutingState("shop")
    for stage in PLAN.stages()[:3]:
        state = apply(state, change_for(stage, PLAN, 0))
    stage_back = smaller(PLAN, state, "stage").change
    state = apply(state, smaller(PLAN, state, "route:orders").change)
    with pytest.raises(StaleEpoch, match="changed meanwhile"):
        apply(state, stage_back)


def test_a_route_that_went_back_alone_says_nothing_about_the_stages() -> None:
    """One stage back is possible all the same, and the next stage by hand lowers nobody."""
    stages, state = PLAN.stages(), RoutingState("shop")
    for stage in stages[:3]:
        state = apply(state, change_for(stage, PLAN, 0))
    state = apply(state, smaller(PLAN, state, "route:orders").change)
    assert [is_ahead(stage, state) for stage in stages] == [False, False, False, True]
    back = apply(state, smaller(PLAN, state, "stage").change)
    assert (back.weight, back.kept_routes) == (0, ("orders",))
    assert decide(back, "u", route=PLAN.route("orders")) is System.BASELINE


def test_a_route_that_went_back_alone_leaves_the_split_of_the_others() -> None:
    """Of a stage with several routes: those that are left are judged as before."""
    both = PLAN.phases[0].model_copy(update={"routes": ["orders", "search"]})
    stage = PLAN.model_copy(update={"phases": [both, *PLAN.phases[1:]]}).stages()[1]
    assert stage.routes == ("orders", "search")
    state = RoutingState("shop", Mode.GRADUAL, routes=(("orders", 5_000), ("search", 5_000)))
    assert split_of(stage, state) == 5_000
    state = apply(state, smaller(PLAN, state, "route:orders").change)
    assert split_of(stage, state) == 5_000
    state = apply(state, smaller(PLAN, state, "route:search").change)
    assert split_of(stage, state) == 0


def test_one_stage_back_may_be_one_of_a_route() -> None:
    """The newest stage's share goes back, whatever it moved."""
    stages = PLAN.stages()
    state = RoutingState("shop")
    for stage in stages:
        state = apply(state, change_for(stage, PLAN, 0))
    for stage in reversed(stages[:-1]):
        state = apply(state, smaller(PLAN, state, "stage").change)
        assert has_share(state, stage, PLAN)
    with pytest.raises(Refused, match="no stage has fewer users"):
        smaller(PLAN, state, "stage")


def test_scopes_name_what_can_go_back() -> None:
    """A route that never moves is none of them."""
    assert scopes(PLAN) == ["all", "stage", "segment:beta", "route:orders", "route:search",
                            "route:static"]
    state = apply(RoutingState("shop"), change_for(PLAN.stages()[0], PLAN, 0))
    with pytest.raises(InvalidInput, match="route:login"):
        smaller(PLAN, state, "route:login")


def test_status_says_where_each_route_stands() -> None:
    """In words, with its share."""
    state = RoutingState("shop", Mode.GRADUAL, 2_500, routes=(("orders", 5_000),),
                         kept_routes=("search",))
    met = {"requests": 12, "errors": 1}
    numbers = {"orders": {"candidate": met, "baseline": {"requests": 0, "errors": 0}}}
    assert route_status.lines(route_status.collect(PLAN, state, numbers)) == [
        "route login (/login): 0 %, never moves",
        "route orders (/orders and below): 50 %, is at 50 % (candidate 12 requests, 1 errors)",
        "route search (/search and below): 0 %, was rolled back",
        "route static (/static/): 25 %, with the rest",
    ]
    assert state.describe() == ("gradual 25 %, route orders 50 %, without route search "
                                "(version 0, epoch 0)")

"""When long connections end: exactly when fewer of their users belong to the candidate."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.routing import BUCKETS, ON_USERS, Mode, RoutingState
from changeover.gateway.accesslog import Entry, parse_line
from changeover.gateway.envoy import streams
from changeover.gateway.files import GatewayFiles
from changeover.gateway.long_connections import was_ended
from changeover.gateway.process import envoy_command
from changeover.plan.routes import RouteSpec
from tests.core.gateway.test_config import PLAN

FILES = GatewayFiles(Path("gateway"))
SEGMENTS = tuple(PLAN.routing.segments)
states = st.builds(
    RoutingState, migration=st.just("bench"), mode=st.sampled_from(Mode),
    weight=st.integers(0, BUCKETS), segments=st.sampled_from([(), SEGMENTS]),
    kept=st.sampled_from([(), SEGMENTS]), version=st.integers(0, 99), epoch=st.integers(0, 9),
    segment_weight=st.integers(0, BUCKETS))


@given(course=st.lists(states, min_size=1, max_size=6))
def test_the_same_state_ends_nothing_twice(course: list[RoutingState]) -> None:
    """However often a state is published, its hops stay."""
    hops: dict[str, streams.Hop] = {}
    for number, state in enumerate(course):
        hops = streams.next_hops(PLAN, state, hops, number)
        assert streams.next_hops(PLAN, state, hops, number + 1) == hops
        assert streams.known(streams.render(PLAN, FILES, hops)) == hops


@given(before=states, after=states)
def test_only_a_smaller_share_ends(before: RoutingState, after: RoutingState) -> None:
    """Nothing ends while at least as many users belong to the candidate, and all when none do."""
    first = streams.next_hops(PLAN, before, {}, 1)
    second = streams.next_hops(PLAN, after, first, 2)
    for name, hop in second.items():
        is_ended = hop.ended_at == 2
        assert is_ended == any(
            now < then for now, then in zip(hop.shares, first[name].shares, strict=True))
        listener = [found for found in streams.render(PLAN, FILES, second)["resources"]
                    if found["name"] == f"streams_{name}"]
        same = [found for found in streams.render(PLAN, FILES, first)["resources"]
                if found["name"] == f"streams_{name}"]
        assert is_ended or listener == same
        if after.mode not in ON_USERS:
            assert not any(hop.shares)


PARTS = PLAN.model_copy(update={"routes": [
    RouteSpec.model_validate({"name": "orders", "path": {"prefix": "/orders"}}),
    RouteSpec.model_validate({"name": "all", "path": {"prefix": "/all"}, "move": "together"}),
    RouteSpec.model_validate({"name": "login", "path": {"exact": "/login"}, "move": "never"}),
]})
AT_HALF = RoutingState("bench", Mode.GRADUAL, 5_000, SEGMENTS[:1], version=7,
                       routes=(("orders", 2_500),))


@pytest.mark.parametrize(("after", "ended"), [
    (replace(AT_HALF, weight=2_500), {"-", *SEGMENTS[1:], "/all"}),
    (replace(AT_HALF, weight=7_500, routes=(("orders", 5_000),)), set()),
    (replace(AT_HALF, kept_routes=("orders",)), {"/orders"}),
    (replace(AT_HALF, segments=(), kept=SEGMENTS[:1]), {SEGMENTS[0], "/orders", "/all"}),
    (RoutingState("bench", Mode.CANDIDATE_ONLY, BUCKETS), set()),
    (RoutingState("bench", Mode.EMERGENCY_ROLLBACK), {"-", *SEGMENTS, "/orders", "/all"}),
], ids=["stage back", "stage on", "route", "segment", "full", "everyone"])
def test_parts_of_the_traffic_end_by_themselves(after: RoutingState, ended: set[str]) -> None:
    """What goes back alone ends alone; whoever keeps all of its users ends nothing."""
    hops = streams.next_hops(PARTS, AT_HALF, {}, 1)
    assert set(hops) == {"-", *SEGMENTS, "/orders", "/all"}
    found = streams.next_hops(PARTS, after, hops, 2)
    assert {name for name, hop in found.items() if hop.ended_at == 2} == ended


def test_template_needs_nothing_but_texts_replaced() -> None:
    """What a shell puts in place is what the program would have written."""
    text = streams.filled(json.dumps(streams.template(PLAN, FILES)), "3_17", 1_700_000_000.9)
    wanted = dict.fromkeys(streams.groups(PLAN), streams.Hop((), "3_17", 1_700_000_000))
    assert json.loads(text) == streams.render(PLAN, FILES, wanted)


def entry(cluster: str, flags: str, at: float, system: str = "candidate") -> Entry:
    """Return a line of the log."""
    found = parse_line(
        f'{{"t": "{at - 60}", "ms": 60000, "s": 200, "f": "{flags}", "r": "split:10:safe", '
        f'"u": "{cluster}", "h": "a", "c": "{system}"}}'.encode(), {})
    assert found is not None
    return found


def test_only_what_the_gateway_ended_is_left_out() -> None:
    """Neither what the candidate broke off before, nor others' connections, nor whole answers."""
    hops, grace = {"beta": streams.Hop((), "1_2", 1000)}, timedelta(seconds=5)
    beta = streams.chosen("beta")
    assert was_ended(entry(beta, "UC", 1003), hops, grace)
    assert was_ended(entry(beta, "UPE", 1006), hops, grace)
    for other in (
        entry(beta, "UC", 999), entry(beta, "UC", 1020), entry(beta, "-", 1003),
        entry(streams.chosen(streams.OTHERS), "UC", 1003),
        entry("candidate_or_baseline", "UC", 1003), entry(beta, "UC", 1003, "baseline"),
    ):
        assert not was_ended(other, hops, grace)


def test_envoy_waits_for_the_grace() -> None:
    """Users see the end when the grace is over: the rest of it is the wait of a closing connection.
    """
    command = envoy_command(FILES, grace=timedelta(seconds=30))
    assert command[command.index("--drain-time-s") + 1] == "27"

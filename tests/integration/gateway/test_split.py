"""What the gateway does with a user is what `routing.decide` says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover.domain.routing import BUCKETS, Mode, RoutingState, System, bucket, decide
from changeover.gateway.accesslog import meant_for
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import Log
from tests.support.processes import LONGEST_PAUSE

pytestmark = pytest.mark.integration
PER_EXAMPLE = 40

ascii_keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
unicode_keys = st.text(
    st.characters(min_codepoint=0xA1, exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")),
    min_size=1, max_size=20,
)
keys = st.lists(ascii_keys | unicode_keys, min_size=PER_EXAMPLE, max_size=PER_EXAMPLE)
weights = st.sampled_from([0, 1, 9_999, 10_000]) | st.integers(0, 10_000)
few = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Users:
    """Sends requests of users over one connection."""

    def __init__(self, bench: Bench) -> None:
        host, port = bench.plan.routing.listen.rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=LONGEST_PAUSE)

    def served(self, key: str | None, **headers: str) -> System:
        """Return which system answered a user."""
        self._connection.putrequest("GET", "/")
        if key is not None:
            self._connection.putheader("x-user-id", key.encode())
        for name, value in headers.items():
            self._connection.putheader(name.replace("_", "-"), value.encode())
        self._connection.endheaders()
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return System(json.loads(body)["served_by"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One gateway for all tests of this module; each publishes what it needs."""
    yield from start_bench(make_plan(), tmp_path_factory.mktemp("split"))


@given(keys=keys, weight=weights)
@few
def test_split_agrees_with_decide_for_any_keys_and_weights(
    gateway: Bench, keys: list[str], weight: int
) -> None:
    """Over the wire every user gets the system that `decide` names."""
    gateway.move(Mode.GRADUAL, weight)
    users = Users(gateway)
    for key in keys:
        assert users.served(key) is decide(gateway.state, key), (key, bucket(key))


@given(keys=keys, percents=st.lists(weights, min_size=2, max_size=4, unique=True))
@settings(few, max_examples=8)
def test_growing_percentages_never_move_a_user_back(
    gateway: Bench, keys: list[str], percents: list[int]
) -> None:
    """Whoever has the candidate keeps it while the share grows."""
    users, moved = Users(gateway), set()
    for weight in sorted(percents):
        gateway.move(Mode.GRADUAL, weight)
        now = {key for key in keys if users.served(key) is System.CANDIDATE}
        assert moved <= now
        moved = now


@pytest.mark.parametrize("weight", [1, 5_000, 10_000])
@pytest.mark.parametrize("key", [None, ""], ids=["absent", "empty"])
def test_requests_without_a_key_go_to_the_baseline(
    gateway: Bench, key: str | None, weight: int
) -> None:
    """No key, no lottery: the baseline answers, in every share of users."""
    gateway.move(Mode.GRADUAL, weight)
    users = Users(gateway)
    assert {users.served(key) for _ in range(20)} == {System.BASELINE}


@pytest.mark.parametrize("key", ["someone", None], ids=["key", "no-key"])
@pytest.mark.parametrize(("value", "system"), [
    ("beta", System.CANDIDATE), ("a.b|c", System.CANDIDATE), ("Beta", System.BASELINE),
    ("beta2", System.BASELINE), ("axb", System.BASELINE), ("c", System.BASELINE),
])
def test_segments_match_exact_values_only(
    gateway: Bench, value: str, system: System, key: str | None
) -> None:
    """A segment's values are no patterns, and its users need no key."""
    gateway.move(Mode.GRADUAL, 0, segments=("beta",))
    assert Users(gateway).served(key, x_cohort=value) is system


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_answers_as_decided(gateway: Bench, mode: Mode) -> None:
    """Each mode sends users with and without a key where `decide` says."""
    weight = {Mode.GRADUAL: 3_000, Mode.CANDIDATE_ONLY: BUCKETS}.get(mode, 0)
    gateway.move(mode, weight)
    users = Users(gateway)
    for key in [None, *(f"user-{number}" for number in range(40))]:
        assert users.served(key) is decide(gateway.state, key)


@given(keys=keys)
@settings(few, max_examples=3)
def test_access_log_tells_the_system_that_was_meant(gateway: Bench, keys: list[str]) -> None:
    """From a log line alone follows what `decide` said, for any key."""
    gateway.move(Mode.GRADUAL, 4_000)
    log, users = Log(gateway), Users(gateway)
    for key in (f"logged-{key}" for key in keys):
        users.served(key)
        assert meant_for(log.entry(key)) is decide(gateway.state, key)


def test_salted_split_hashes_the_salt_followed_by_the_key(tmp_path: Path) -> None:
    """With a salt the bucket is the one of salt + key, and clients cannot choose it."""
    plan = make_plan()
    salted = plan.model_copy(
        update={"routing": plan.routing.model_copy(update={"salt": "spring-26"})}
    )
    for bench in start_bench(salted, tmp_path):
        bench.move(Mode.GRADUAL, 5_000)
        users, log = Users(bench), Log(bench)
        state = RoutingState("bench", mode=Mode.GRADUAL, weight=5_000)
        for number in range(120):
            key = f"user-{number}"
            expected = decide(state, f"spring-26{key}")
            assert users.served(key, x_changeover_key="chosen") is expected
            if number < 10:
                assert meant_for(log.entry(key)) is expected
        assert users.served(None) is System.BASELINE

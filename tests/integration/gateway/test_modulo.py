"""`routing.key.modulo`: the number at a key's end decides, everywhere in the same way."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover.clock import now
from changeover.domain.buckets import Key, number_of, values_of
from changeover.domain.routing import BUCKETS, Mode, System, decide
from changeover.gateway.accesslog import meant_for
from changeover.plan.routing import KeyRule
from changeover.sdk.feed import Feed
from changeover.site.home import Home
from changeover.store import flags
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.console.conftest import Served, started
from tests.integration.gateway.load import Log
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
RULE = KeyRule(modulo=100)
ROUTING = {"key": {"header": "x-user-id", "modulo": 100}}
FLAGS = {"new": {"mirrors": "system", "variants": {"baseline": False, "candidate": True}}}
ISSUES = [*range(0, 130), 200, 1_024, 1_025, 99_999]

before = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cc",)),
                 max_size=12)
numbered = st.builds(lambda text, number: f"{text}{number}", before, st.integers(0, 10**12))
keys = st.lists(numbered | before.filter(bool), min_size=30, max_size=30)
weights = st.sampled_from([1, 99, 100, 101, 2_500, 9_900, 9_901, BUCKETS]) | st.integers(1, BUCKETS)
few = settings(max_examples=20, deadline=None,
               suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A gateway whose keys are numbers."""
    yield from start_bench(make_plan(routing=ROUTING), tmp_path_factory.mktemp("modulo"))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console of the same plan at 25 %."""
    with ExitStack() as stack:
        home = Home(tmp_path_factory.mktemp("modulo-console") / "home")
        served = started(stack, home, make_plan(routing=ROUTING, flags=FLAGS))
        flags.follow_plan(served.store, served.plan, now=now())
        served.move(Mode.GRADUAL, 2_500)
        wait_for(lambda: served.client().get("/v1/explain").json()["percent"] == 25)
        yield served


class Users:
    """Sends requests of users over one connection."""

    def __init__(self, bench: Bench) -> None:
        host, port = bench.plan.routing.listen.rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=LONGEST_PAUSE)

    def served(self, key: Key) -> System:
        """Return which system answered a user; several values are several headers."""
        self._connection.putrequest("GET", "/")
        for value in values_of(key) if isinstance(key, list) else values_of([key]):
            self._connection.putheader("x-user-id", value)
        self._connection.endheaders()
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return System(json.loads(body)["served_by"])


def test_at_25_percent_the_issues_0_to_24_of_each_hundred_move(gateway: Bench) -> None:
    """The rule of a code base that says `issue_number % 100 < percentage`, to the letter."""
    gateway.move(Mode.GRADUAL, 2_500)
    users = Users(gateway)
    for number in ISSUES:
        wanted = System.CANDIDATE if number % 100 < 25 else System.BASELINE
        assert users.served(f"acme:parcels:{number}") is wanted, number
        assert users.served(str(number)) is wanted, number


@given(keys=keys, weight=weights)
@few
def test_the_gateway_agrees_with_decide(gateway: Bench, keys: list[str], weight: int) -> None:
    """Whatever stands before the number, and where there is none."""
    gateway.move(Mode.GRADUAL, weight)
    users = Users(gateway)
    for key in keys:
        assert users.served(key) is decide(gateway.state, key, rule=RULE), (key, weight)


@pytest.mark.parametrize("key", [
    ["24", "99"], ["99", "24"], ["a", "7"], b"caf\xe9:42", b"caf\xe942", b"\xed\xa0\x8042", "x-",
    "٢٤", "24 ", "1e3", "007"], ids=repr)
def test_odd_keys_go_where_decide_says(gateway: Bench, key: Key) -> None:
    """Sent twice, not UTF-8, other digits than ASCII's, none at the end."""
    gateway.move(Mode.GRADUAL, 2_500)
    assert Users(gateway).served(key) is decide(gateway.state, key, rule=RULE)


def test_the_log_says_which_system_was_meant(gateway: Bench) -> None:
    """The split's routes have its name, so that everything that reads the log counts them."""
    gateway.move(Mode.GRADUAL, 2_500)
    log, users = Log(gateway), Users(gateway)
    for number, meant in ((124, System.CANDIDATE), (125, System.BASELINE)):
        users.served(f"meant-{number}")
        entry = log.entry(f"meant-{number}")
        assert entry.route == "split:2500:safe"
        assert meant_for(entry) is meant


def test_console_flags_and_claims_agree_with_the_gateway(gateway: Bench, console: Served) -> None:
    """One bucket: decision, explanation, OFREP, the flag in process, claims, and the gateway."""
    gateway.move(Mode.GRADUAL, 2_500)
    users, client = Users(gateway), console.client(console.token())
    with Feed.from_console(console.url).start(wait=LONGEST_PAUSE) as feed:
        for number in ISSUES[::7]:
            key = f"acme:parcels:{number}"
            system = users.served(key)
            decision = client.get(f"/v1/decision/{key}").json()
            told = client.get(f"/v1/explain?key={key}").json()
            evaluated = client.post("/ofrep/v1/evaluate/flags/changeover.system", json={
                "context": {"targetingKey": key}}).json()
            held = client.post(f"/v1/claims/{key}", json={"system": str(system), "holder": "h"})
            assert {decision["system"], told["system"], evaluated["value"]} == {str(system)}
            assert {decision["bucket"], told["bucket"]} == {number % 100 * 100}
            is_new = system is System.CANDIDATE
            assert feed.value("new", not is_new, key) is is_new
            assert held.is_success, held.text


def test_a_key_without_a_number_is_said_to_stay(console: Served) -> None:
    """Nobody wonders why: the explanation names it."""
    found = console.client().get("/v1/explain?key=acme").json()
    assert (found["system"], found["bucket"]) == ("baseline", None)
    assert "a key without a number at its end stays at the baseline" in found["because"]
    assert number_of("acme", RULE) is None

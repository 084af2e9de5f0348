"""Users of browsers and of tokens: whatever carries the key, the gateway and `decide` agree."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.domain.buckets import bucket
from changeover.domain.routing import Mode, RoutingState, System, decide
from changeover.domain.user_keys import key_of
from changeover.gateway.accesslog import meant_for
from changeover.gateway.tailer import Tailer
from changeover.plan.model import Plan
from changeover.plan.routing import KeyRule
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
SOURCES = [{"header": "x-user-id"}, {"cookie": "session"}, {"query": "account"},
           {"bearer_claim": "sub"}]
few = settings(max_examples=60, deadline=None)


@dataclass
class Asked:
    """A request as it goes over the wire."""

    path: bytes = b"/"
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    def values(self, name: str) -> list[bytes]:
        """Return every value of a header."""
        return [value for known, value in self.headers if known == name]


def planned(**routing: object) -> Plan:
    plan = make_plan()
    own = plan.routing.model_dump(mode="json") | {"key": SOURCES} | routing
    return Plan.model_validate(
        {**plan.model_dump(mode="json", by_alias=True, exclude_unset=True), "routing": own})


class Browser:
    """Sends requests over one connection, byte for byte."""

    def __init__(self, bench: Bench) -> None:
        host, port = bench.plan.routing.listen.rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=LONGEST_PAUSE)
        # what is sent is what the test says, also where Python would rather not
        self._connection._encode_request = lambda request: request.encode("latin-1")  # type: ignore[attr-defined]

    def ask(self, asked: Asked, method: str = "GET") -> tuple[System, http.client.HTTPResponse]:
        """Return who answered, and the answer."""
        self._connection.putrequest(method, asked.path.decode("latin-1"))
        for name, value in asked.headers:
            self._connection.putheader(name, value)
        self._connection.endheaders()
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return System(json.loads(body)["served_by"]), response


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One gateway with four places for the key; each test publishes what it needs."""
    yield from start_bench(planned(), tmp_path_factory.mktemp("keys"))


def token(payload: bytes) -> bytes:
    middle = base64.urlsafe_b64encode(payload).rstrip(b"=")
    return b"Bearer e30." + middle + b".c2lnbmVk"


visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
octets = visible.map(str.encode) | st.binary(min_size=1, max_size=12).map(
    lambda raw: bytes(b for b in raw if b > 160) or b"\xc3\xa9")
cookies = st.lists(st.sampled_from(
    [b"session=", b"session=abc", b'session="q"', b" session = x y ", b"Session=upper", b"other=1",
     b"session", b"=session", b"xsession=1", b"session=a=b"]) | octets, max_size=4).map(b"; ".join)
queries = st.lists(st.sampled_from(
    [b"account=", b"account=7", b"account=a%20b", b"acc%6Funt=enc", b"account=%zz", b"b=2",
     b"account=a+b", b"account", b"xaccount=1", b"account=%e9"]), max_size=3).map(b"&".join)
claims = st.sampled_from(
    [b'{"sub":"u-1"}', b'{"sub": 42}', b'{"sub":4.2}', b'{"sub":""}', b'{"x":{"sub":"in"}}',
     b'{"x":{"sub":"in"},"sub":"out"}', b'{"a":"sub","sub":"s"}', b'{"sub":"\\u0061"}', b"[1]",
     b'{"sub":null}', b'{"sub":"one","sub":"two"}', b'{"x":"}","sub":"s"}', b'{"sub":-7}',
     b'{"sub":1e3}', b'{"s\\"ub":1,"sub":"z"}', b"{", b'{"sub":"open', b'{"sub":'
     + b"9" * 31 + b"}", '{"sub":"\N{LATIN SMALL LETTER E WITH ACUTE}"}'.encode()])


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Return any request: its key in any of the places, in several, or nowhere."""
    asked = Asked()
    if draw(st.booleans()):
        asked.path = b"/p?" + draw(queries)
    asked.headers += [("x-user-id", value) for value in draw(st.lists(octets, max_size=2))]
    if draw(st.integers(0, 9)) == 0:
        asked.headers.append(("x-user-id", b""))
    asked.headers += [("cookie", value) for value in draw(st.lists(cookies, max_size=2)) if value]
    if draw(st.booleans()):
        asked.headers.append(("authorization", draw(st.sampled_from([
            token(draw(claims)), token(draw(claims)).replace(b"Bearer", b"bearer "), b"Basic YTpi",
            b"Bearer nonsense", b"Bearer a.!.c"]))))
    return asked


@given(asked=st.lists(requests(), min_size=30, max_size=30), weight=st.integers(1, 9_999))
@few
def test_any_request_goes_where_its_key_says(
    gateway: Bench, asked: list[Asked], weight: int
) -> None:
    """The script in the gateway finds the key that `key_of` finds, and hashes it as `bucket`."""
    gateway.move(Mode.GRADUAL, weight)
    browser, routing = Browser(gateway), gateway.plan.routing
    for one in asked:
        key = key_of(routing.sources, one.values, one.path)
        served, _ = browser.ask(one)
        assert served is decide(gateway.state, key), (one, key)


@pytest.mark.parametrize("asked", [
    Asked(headers=[("x-user-id", b"a" + b" " * 30_000 + b"b")]),
    Asked(headers=[("cookie", b"session=a" + b" " * 30_000 + b"b")]),
    Asked(path=b"/?account=a" + b"+" * 30_000 + b"b"),
    Asked(headers=[("authorization", b"Bearer" + b" " * 30_000 + b"e30.e30.e30")]),
], ids=["header", "cookie", "parameter", "token"])
def test_a_long_row_of_blanks_keeps_nobody_waiting(gateway: Bench, asked: Asked) -> None:
    """The gateway has few workers: one that is busy with a request serves no other user.

    Systems take no more blanks than these; by a pattern each took the square of their number.
    """
    gateway.move(Mode.GRADUAL, 5_000)
    key = key_of(gateway.plan.routing.sources, asked.values, asked.path)
    assert Browser(gateway).ask(asked)[0] is decide(gateway.state, key)


def test_a_request_is_logged_by_hash_and_bucket_and_never_by_its_key(gateway: Bench) -> None:
    """A session is a secret; the log tells users apart without it."""
    gateway.move(Mode.GRADUAL, 5_000)
    tailer = Tailer(gateway.gateway.files.access_log, {})
    tailer.read()
    browser = Browser(gateway)
    for number in range(20):
        browser.ask(Asked(headers=[("cookie", b"session=secret-%d" % number)]))
    entries: list = []

    def logged() -> bool:
        entries.extend(tailer.read())
        return len(entries) >= 20

    wait_for(logged, what="the log")
    text = gateway.gateway.files.access_log.read_text()
    assert "secret-" not in text
    for number, entry in enumerate(entries):
        key = f"secret-{number}"
        assert entry.bucket == bucket(key)
        assert entry.key
        assert meant_for(entry) is decide(gateway.state, key)
    assert len({entry.key for entry in entries}) == 20


def test_systems_see_nothing_of_the_gateways_own_headers(gateway: Bench) -> None:
    """What the script needs stays at the gateway, and a client cannot choose a bucket."""
    gateway.move(Mode.GRADUAL, 1)
    served, _ = Browser(gateway).ask(Asked(headers=[("x-changeover-key", b"0")]))
    assert served is System.BASELINE
    connection = http.client.HTTPConnection(gateway.plan.routing.listen, timeout=LONGEST_PAUSE)
    connection.request("GET", "/", headers={"cookie": "session=a"})
    assert "x-changeover-key" not in json.loads(connection.getresponse().read())["headers"]


def test_nobody_changes_side_while_shares_grow(gateway: Bench) -> None:
    """Users by cookie and by header: whoever has moved stays moved."""
    browser, moved = Browser(gateway), set[int]()
    users = [Asked(headers=[("cookie", b"session=u%d" % number)] if number % 2
                   else [("x-user-id", b"u%d" % number)]) for number in range(300)]
    for percent in (1, 5, 25, 50, 75, 100):
        gateway.move(Mode.GRADUAL, percent * 100)
        now = {number for number, user in enumerate(users)
               if browser.ask(user)[0] is System.CANDIDATE}
        assert moved <= now
        moved = now
    assert len(moved) == 300


@pytest.fixture(scope="module")
def issuing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A gateway that gives users without a key a cookie, with a salt."""
    plan = planned(key={"header": "x-user-id"}, salt="spring", issue={"cookie": "chg_id"})
    yield from start_bench(plan, tmp_path_factory.mktemp("issue"))


def test_users_without_a_key_get_a_cookie_and_stay_where_they_are(issuing: Bench) -> None:
    """The first answer already is by the new key, and sets it; later ones set nothing."""
    issuing.move(Mode.GRADUAL, 5_000)
    browser, sides = Browser(issuing), set[System]()
    for _ in range(40):
        first, answer = browser.ask(Asked())
        cookie = answer.headers["set-cookie"]
        found = re.fullmatch(
            r"chg_id=([0-9a-f]{16}); Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax", cookie)
        assert found, cookie
        state = RoutingState("bench", mode=Mode.GRADUAL, weight=5_000)
        assert first is decide(state, found[1], rule=KeyRule("spring"))
        again, answer = browser.ask(Asked(headers=[("cookie", f"chg_id={found[1]}".encode())]))
        assert (again, answer.headers["set-cookie"]) == (first, None)
        sides.add(first)
    assert sides == {System.BASELINE, System.CANDIDATE}


@pytest.mark.parametrize(("header", "is_issued"), [
    ("cache-control: public", False), ("cache-control: max-age=60", False),
    ("cache-control: s-maxage=60", False), ("expires: Thu, 01 Jan 2037 00:00:00 GMT", False),
    ("cache-control: private, max-age=60", True), ("cache-control: no-store", True),
    ("cache-control: max-age=0", True), ("cache-control: must-revalidate", True),
])
def test_no_cookie_is_in_an_answer_that_a_shared_cache_may_keep(
    issuing: Bench, header: str, is_issued: bool
) -> None:
    """Else all who get it from there would be one user."""
    issuing.move(Mode.GRADUAL, 5_000)
    _, answer = Browser(issuing).ask(Asked(headers=[("x-answer-with", header.encode())]))
    assert (answer.headers["set-cookie"] is not None) is is_issued


def test_a_user_with_a_key_gets_no_cookie(issuing: Bench) -> None:
    """The header comes first, and its users are the salted ones."""
    issuing.move(Mode.GRADUAL, 5_000)
    for number in range(20):
        key = f"user-{number}"
        served, answer = Browser(issuing).ask(Asked(headers=[("x-user-id", key.encode())]))
        assert served is decide(issuing.state, key, rule=KeyRule("spring"))
        assert answer.headers["set-cookie"] is None


def test_keyless_requests_are_split_only_where_the_plan_says_so(
    gateway: Bench, tmp_path: Path
) -> None:
    """By default the baseline answers them; with `keyless: split` some go each way."""
    gateway.move(Mode.GRADUAL, 5_000)
    assert {Browser(gateway).ask(Asked())[0] for _ in range(20)} == {System.BASELINE}
    for bench in start_bench(planned(keyless="split"), tmp_path):
        bench.move(Mode.GRADUAL, 5_000)
        browser = Browser(bench)
        assert {browser.ask(Asked())[0] for _ in range(40)} == set(System)

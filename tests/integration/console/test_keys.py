"""Keys as they really come: any bytes, twice, or none that a request can carry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from changeover.clock import now
from changeover.domain.routing import Mode, RoutingState, bucket, explain
from changeover.site.home import Home
from changeover.store import claims, flags
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Served, started
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
FLAGS = {"new": {"mirrors": "system", "variants": {"baseline": False, "candidate": True}}}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console of a migration at 50 %."""
    with ExitStack() as stack:
        served = started(
            stack, Home(tmp_path_factory.mktemp("keys") / "home"), make_plan(flags=FLAGS))
        flags.follow_plan(served.store, served.plan, now=now())
        served.move(Mode.GRADUAL, 5_000)
        wait_for(lambda: served.client().get("/v1/explain").json()["percent"] == 50)
        yield served


def post(asked: Served, path: str, body: Any, token: str | None = None) -> httpx.Response:
    """Send JSON as Python's own encoder writes it: every odd character escaped."""
    return asked.client(token).post(
        path, content=json.dumps(body), headers={"content-type": "application/json"})


@pytest.mark.parametrize(("sent", "key"), [
    ("caf%E9", "caf\udce9"), ("%FF%FE", "\udcff\udcfe"), ("Zo%C3%AB", "Zoë"), ("a%09b", "a\tb"),
    ("%20user-7%20", "user-7"), ("a%2Fb,c", "a/b,c"), ("%ED%A0%80", "\udced\udca0\udc80"),
    ("k" * 3_000, "k" * 3_000),
])
def test_any_bytes_of_a_key_are_answered_as_the_gateway_does(
    asked: Served, sent: str, key: str
) -> None:
    """Decision, explanation and OFREP hash the bytes that were sent, and no other text."""
    client, state = asked.client(), RoutingState("bench", Mode.GRADUAL, 5_000)
    decision = client.get(f"/v1/decision/{sent}").json()
    told = client.get(f"/v1/explain?key={sent}").json()
    context = {"context": {"targetingKey": key}}
    posted = post(asked, "/v1/explain", context).json()
    evaluated = post(asked, "/ofrep/v1/evaluate/flags/changeover.system", context).json()
    known = explain(state, key)
    assert {decision["bucket"], told["bucket"], posted["bucket"]} == {known.bucket}
    assert {one["system"] for one in (decision, told, posted)} == {known.system}
    assert evaluated["value"] == known.system
    assert decision["key"].encode() == told["key"].encode()


def test_a_key_that_comes_twice_is_explained_as_the_gateway_does(asked: Served) -> None:
    """All values of the query are those of the header; other protocols carry one key alone."""
    found = asked.client().get("/v1/explain?key=u2&key=v2").json()
    assert (found["key"], found["bucket"]) == ("u2, v2", bucket(["u2", "v2"]))
    body = {"context": {"targetingKey": ["u2", "v2"]}}
    refused = post(asked, "/ofrep/v1/evaluate/flags", body)
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "INVALID_CONTEXT")


@pytest.mark.parametrize("key", ["\ud800", "a\udfffb"], ids=ascii)
def test_a_key_that_no_request_can_carry_is_refused_by_name(asked: Served, key: str) -> None:
    """Nobody can say where it would go: the client learns so, and uses its default."""
    context = {"context": {"targetingKey": key}}
    for path in ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/new", "/v1/explain"):
        answer = post(asked, path, context)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, "INVALID_CONTEXT"), path
        assert "surrogate" in answer.json()["errorDetails"]


@pytest.mark.parametrize("odd", ["\ud800", "\udce9", "\0", "a\nb"], ids=ascii)
def test_odd_text_in_a_claim_is_refused_and_changes_nothing(asked: Served, odd: str) -> None:
    """Keys, holders and reasons that no database keeps are told by their field: 422, not 500."""
    token = asked.token()
    claim = {"system": "baseline", "holder": "w"}
    assert post(asked, "/v1/claims/held", claim, token).is_success
    for path, body in (
        ("/v1/claims/new", {**claim, "key": odd}), ("/v1/claims/new", {**claim, "holder": odd}),
        ("/v1/claims/new", {**claim, odd: 1}), ("/v1/claims/held/fail", {"token": 1, odd: 1}),
        ("/v1/claims/held/renew", {"token": odd}), ("/v1/outcomes", {"id": odd}),
        ("/v1/outcomes", [{"id": "a", "system": "baseline", "success": True, odd: odd}]),
    ):
        assert post(asked, path, body, token).status_code == 422, (path, body)
    for path in ("fail", "hand-over"):
        body = {"token": 1, "reason": odd, **({"to": "baseline"} if path == "hand-over" else {})}
        assert (post(asked, f"/v1/claims/held/{path}", body, token).status_code == 422) is (
            odd != "a\nb")
    assert claims.one(asked.store, "bench", "new") is None

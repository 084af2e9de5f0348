"""What the console looks at before it answers: tokens, kinds of bodies, names, faults."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.console.models import ClaimOut
from changeover.domain.tokens import Scope, Token
from changeover.store import claims, plans, tokens
from tests.integration.console.conftest import Serve, Served
from tests.integration.console.test_service import CLAIM, JSON, OUTCOME, refused
from tests.support.processes import LONGEST_PAUSE

pytestmark = pytest.mark.integration

WRITES = [("/v1/claims/a", CLAIM), ("/v1/claims/a/renew", {"token": 1}), ("/v1/outcomes", OUTCOME)]


@pytest.mark.parametrize("path", [path for path, _ in WRITES])
def test_without_a_token_a_body_is_not_even_read(console: Served, path: str) -> None:
    """The answer comes although the body never does."""
    with socket.create_connection(("127.0.0.1", console.port), timeout=30) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9000\r\n"
                           "content-type: application/json\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_token_of_another_migration_opens_nothing(console: Served) -> None:
    """Several migrations may share a database: each console knows its own tokens only."""
    other = console.plan.model_copy(update={"migration": "other"})
    plans.register(console.store, other, source="test", now=clock.now())
    _, text = tokens.create(console.store, Token(
        "other", name="w", scope=Scope.ADMIN, created_at=clock.now(), created_by="test"))
    refused(console.client(text).post("/v1/claims/a", json=CLAIM), 401)


@pytest.mark.parametrize(("path", "body"), WRITES)
def test_a_password_does_not_write(console: Served, path: str, body: Any) -> None:
    """Browsers add the password they know, also when a page of somebody else has them ask."""
    password = ("anyone", console.token())
    answer = httpx.post(console.url + path, json=body, auth=password, timeout=LONGEST_PAUSE)
    refused(answer, 401)
    assert answer.headers["www-authenticate"] == 'Bearer realm="changeover"'


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize(("path", "body"), WRITES)
def test_only_json_is_taken(console: Served, path: str, body: Any, kind: str | None) -> None:
    """What a page may send to anybody without asking is none of it."""
    headers = {"content-type": kind} if kind else {}
    content = httpx.Request("POST", console.url, json=body).content
    client = console.client(console.token())
    found = refused(client.post(path, content=content, headers=headers), 415)
    assert "application/json" in found["detail"]


@pytest.mark.parametrize(("path", "allowed"), [
    ("/v1/decision/alice?segments=beta", "segment"), ("/v1/status?verbose=1", "none"),
    ("/metrics?x", "none"), ("/?x=1", "range"), ("/health?x=1", "none")])
def test_unknown_parameters_of_a_query_are_refused(
    console: Served, path: str, allowed: str
) -> None:
    """A misspelt segment is not answered as if there were none."""
    assert refused(console.client().get(path), 422)["allowed"] == allowed


def test_unknown_parameters_of_a_write_are_refused(console: Served) -> None:
    """Nothing is done."""
    client = console.client(console.token())
    refused(client.post("/v1/claims/never-claimed?lease_seconds=5", json=CLAIM), 422)
    assert claims.one(console.store, "bench", "never-claimed") is None


def test_a_million_faults_are_told_as_one(console: Served) -> None:
    """The first wrong outcome ends it, and faults beyond a thousand are counted, not listed."""
    client = console.client(console.token())
    ones = client.post("/v1/outcomes", content=b"[" + b"1," * 1_000_000 + b"1]", headers=JSON)
    assert len(refused(ones, 422)["errors"]) == 1
    fields = b"{" + b",".join(b'"a%d":1' % number for number in range(150_000)) + b"}"
    found = refused(client.post("/v1/outcomes", content=fields, headers=JSON), 422)
    assert found["detail"] == "the body has 150003 faults"
    assert "errors" not in found
    refused(client.post("/v1/claims/a", content=fields, headers=JSON), 413)


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/outcomes", OUTCOME | {"success": "yes"}), ("/v1/outcomes", OUTCOME | {"success": 1}),
    ("/v1/outcomes", OUTCOME | {"seconds": True}), ("/v1/outcomes", OUTCOME | {"seconds": "1"}),
    ("/v1/outcomes", OUTCOME | {"quality": {"a": False}}),
    ("/v1/outcomes", OUTCOME | {"quality": {"a": "1"}}),
    ("/v1/claims/a", CLAIM | {"lease_seconds": True}),
    ("/v1/claims/a/renew", {"token": "1"}), ("/v1/claims/a/complete", {"token": True}),
])
def test_no_value_is_taken_for_one_of_another_type(
    console: Served, path: str, body: dict[str, Any],
) -> None:
    """A truth value or a text is no number, and a number is no truth value."""
    refused(console.client(console.token()).post(path, json=body), 422)


def test_refused_outcomes_use_up_no_names(serve: Serve) -> None:
    """Names of quality numbers count when an outcome with them was kept, and only then."""
    console = serve()
    client = console.client(console.token())
    for batch in range(6):
        quality = {f"n{batch}_{number}": 1 for number in range(20)}
        rows = [{**OUTCOME, "id": f"r{batch}", "quality": quality},
                {**OUTCOME, "id": f"s{batch}", "segments": ["unknown"]}]
        assert "segment" in refused(client.post("/v1/outcomes", json=rows), 422)["detail"]
    for batch in range(5):
        quality = {f"n{batch}_{number}": 1 for number in range(20)}
        row = {**OUTCOME, "id": f"k{batch}", "quality": quality}
        assert client.post("/v1/outcomes", json=row).is_success
    more = client.post("/v1/outcomes", json={**OUTCOME, "id": "m", "quality": {"more": 1}})
    assert "100 names" in refused(more, 422)["detail"]
    known = {**OUTCOME, "id": "n", "quality": {"n0_0": 1}}
    assert client.post("/v1/outcomes", json=known).is_success


def test_a_claim_is_answered_as_documented(console: Served) -> None:
    """Every field of the OpenAPI document, and no other."""
    client = console.client(console.token())
    answer = client.post("/v1/claims/documented", json=CLAIM)
    claim = ClaimOut.model_validate_json(answer.content)
    assert answer.json() == claim.model_dump(mode="json")
    other = client.post("/v1/claims/documented", json={**CLAIM, "holder": "other"})
    told = claim.model_dump(mode="json", exclude={"token"})
    assert refused(other, 409)["claim"] == told
    document = client.get("/openapi.json").json()
    schema = document["paths"]["/v1/claims/{item}"]["post"]["requestBody"]["content"]
    assert schema["application/json"]["schema"]["$ref"] == "#/components/schemas/ClaimIn"
    assert document["components"]["schemas"]["ClaimIn"]["additionalProperties"] is False


def test_no_header_is_sent_twice(console: Served) -> None:
    """Nothing is kept on the way, neither flags nor states."""
    client = console.client()
    for path in ("/v1/flags/snapshot", "/v1/status"):
        assert client.get(path).headers.get_list("cache-control") == ["no-store"]


def test_client_that_leaves_in_its_body_is_no_error(console: Served) -> None:
    """It is nobody's fault: the log has no traceback, and the next one is served."""
    head = (f"POST /v1/outcomes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {console.token()}\r\nContent-Length: 100\r\n\r\n[")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", console.port)) as leaver:
            leaver.sendall(head.encode())
    answer = console.client(console.token()).post("/v1/outcomes", json=[OUTCOME])
    assert answer.status_code == 200
    assert "Traceback" not in console.log.read_text()

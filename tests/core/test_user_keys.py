"""Where a user's key is found in a request."""

from __future__ import annotations

import base64

import pytest

from changeover.domain.user_keys import key_of
from changeover.plan.routing import KeySpec, RoutingSpec

HEADER, COOKIE = KeySpec(header="x-user-id"), KeySpec(cookie="session")
QUERY, CLAIM = KeySpec(query="account"), KeySpec(bearer_claim="sub")
ALL = (HEADER, COOKIE, QUERY, CLAIM)


def found(*sources: KeySpec, path: str = "/", **headers: str | list[str]) -> list[bytes]:
    """Return the key of a request whose headers are given with underscores."""
    listed = {name.replace("_", "-"): [values] if isinstance(values, str) else values
              for name, values in headers.items()}

    def values(name: str) -> list[bytes]:
        return [value.encode() for value in listed.get(name, [])]

    return list(key_of(sources, values, path.encode()))


def bearer(payload: str) -> str:
    middle = base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")
    return f"Bearer e30.{middle}.x"


def test_the_first_place_with_a_value_counts() -> None:
    request = {"cookie": "session=c", "path": "/?account=q", "authorization": bearer('{"sub":"t"}')}
    assert found(*ALL, x_user_id="h", **request) == [b"h"]
    assert found(*ALL, x_user_id="", **request) == [b"c"]
    assert found(*ALL, path="/?account=q", authorization=request["authorization"]) == [b"q"]
    assert found(*ALL, authorization=request["authorization"]) == [b"t"]
    assert found(*ALL) == []


@pytest.mark.parametrize(("header", "key"), [
    ("session=a", b"a"), ("x=1; session=a; session=b", b"a"), ('session="a b"', b"a b"),
    (" session = a ", b"a"), ("Session=a", None), ("session", None), ("session=", None),
    ("xsession=a", None), ("session=a=b", b"a=b"),
])
def test_cookies(header: str, key: bytes | None) -> None:
    assert found(COOKIE, cookie=header) == ([] if key is None else [key])


@pytest.mark.parametrize(("path", "key"), [
    ("/?account=7", b"7"), ("/?b=1&account=a%20b", b"a b"), ("/?account=a+b", b"a b"),
    ("/?acc%6Funt=7", b"7"), ("/?account=1&account=2", b"1"), ("/?account=", None),
    ("/?account", None), ("/account=7", None), ("/?xaccount=7", None), ("/?account=7#b", b"7"),
])
def test_parameters(path: str, key: bytes | None) -> None:
    assert found(QUERY, path=path) == ([] if key is None else [key])


@pytest.mark.parametrize(("payload", "key"), [
    ('{"sub":"u-1"}', b"u-1"), ('{"sub": 42}', b"42"), ('{"sub":-7}', b"-7"), ('{"sub":4.2}', None),
    ('{"sub":1e3}', None), ('{"sub":null}', None), ('{"x":{"sub":"in"}}', None),
    ('{"x":{"sub":"in"},"sub":"out"}', b"out"), ('{"sub":"one","sub":"two"}', b"one"),
    ('{"sub":"\\u0061"}', None), ('{"a":"sub","sub":"s"}', b"s"), ("[1]", None), ("{", None),
])
def test_claims_of_tokens(payload: str, key: bytes | None) -> None:
    assert found(CLAIM, authorization=bearer(payload)) == ([] if key is None else [key])


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer x", "Bearer a.!.c", "Bearer a.b"])
def test_what_is_no_token_has_no_claims(authorization: str) -> None:
    assert found(CLAIM, authorization=authorization) == []


def test_one_header_is_plain_and_everything_else_asks_for_the_script() -> None:
    """So a plan of today costs at the gateway what it cost before."""
    assert RoutingSpec().plain_header == "x-user-id"
    assert RoutingSpec(key={"header": "x-account"}).plain_header == "x-account"
    for routing in ({"key": {"cookie": "s"}}, {"key": [{"header": "a"}, {"header": "b"}]},
                    {"issue": {"cookie": "chg_id"}}, {"keyless": "split"}):
        assert RoutingSpec.model_validate(routing).plain_header is None


def test_the_issued_cookie_is_the_last_place() -> None:
    routing = RoutingSpec.model_validate({"key": {"header": "a"}, "issue": {"cookie": "chg_id"}})
    assert [source.title for source in routing.sources] == ["header a", "cookie chg_id"]


def test_a_key_is_written_as_it_was_read() -> None:
    """One place stays a mapping, so that a stored plan keeps its digest."""
    one, two = RoutingSpec(), RoutingSpec.model_validate({"key": [{"cookie": "a"}, {"query": "b"}]})
    assert one.model_dump(mode="json")["key"] == {"header": "x-user-id"}
    assert two.model_dump(mode="json")["key"] == [{"cookie": "a"}, {"query": "b"}]
    assert RoutingSpec.model_validate(two.model_dump(mode="json")) == two


@pytest.mark.parametrize(("key", "header"), [
    ({"header": "x-user-id"}, {"x-user-id": "u"}), ({"cookie": "s"}, {"cookie": "s=u"}),
    ([{"query": "q"}, {"cookie": "s"}], {"cookie": "s=u"}), ({"query": "q"}, {}),
])
def test_requests_of_ours_carry_a_key_where_the_gateway_finds_it(
    key: object, header: dict[str, str]
) -> None:
    assert RoutingSpec.model_validate({"key": key}).carrying("u") == header

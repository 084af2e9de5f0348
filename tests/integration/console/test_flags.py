"""Flags from the whole console: its tokens, its limits, its headers, and a store that fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from changeover.clock import now
from changeover.console.ofrep import EVENTS_PATH
from changeover.domain.routing import Mode
from changeover.domain.tokens import Scope
from changeover.sdk.feed import Feed
from changeover.sdk.openfeature import ChangeoverProvider
from changeover.store import flags
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
ONE = "/ofrep/v1/evaluate/flags/new"
ALL = "/ofrep/v1/evaluate/flags"
USER = {"context": {"targetingKey": "user-7"}}
FLAGS = {"new": {"mirrors": "system", "variants": {"baseline": False, "candidate": True}},
         "level": "WARNING"}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """No provider outlives its test."""
    yield
    api.clear_providers()


def with_flags(serve: Serve, *, host: str = "127.0.0.1", **changes: Any) -> Served:
    """Start a console whose store has flags."""
    served = serve(make_plan(flags=FLAGS, **changes), host=host)
    flags.follow_plan(served.store, served.plan, now=now())
    wait_for(lambda: served.client(served.token()).post(ONE, json=USER).is_success)
    return served


def test_lists_of_users_need_an_applications_token_on_loopback_too(
    serve: Serve, tmp_path: Path
) -> None:
    """Everybody may read flags here; who is listed is personal, and not for pages and screens."""
    (tmp_path / "beta.txt").write_text("ann\neve\n")
    routing = {"segments": {"beta": {"header": "x-cohort", "file": "beta.txt"}}}
    console = serve(make_plan(folder=tmp_path, flags=FLAGS, routing=routing))
    assert console.client().get("/v1/flags/snapshot").status_code == 200
    listed = console.plan.routing.segments["beta"].listed
    assert listed is not None
    place = f"/v1/flags/lists/{listed.sha256}"
    assert console.client().get(place).status_code == 401
    assert console.client(console.token(Scope.READ)).get(place).status_code == 403
    writing = console.token(Scope.WRITE)
    assert console.client().get(place, auth=("any", writing)).status_code == 401
    answer = console.client(writing).get(place)
    assert (answer.text, answer.headers["cache-control"]) == ("ann\neve\n", "private, immutable")
    with Feed.from_console(console.url, token=writing).start(wait=LONGEST_PAUSE) as feed:
        assert feed.latest is not None


def test_official_provider_works_against_the_whole_console(serve: Serve) -> None:
    """Beyond loopback: with a token that may read it evaluates, without one it gets defaults."""
    console = with_flags(serve, host="0.0.0.0")  # noqa: S104  what is tested
    console.move(Mode.GRADUAL, 2_500)
    token, user = console.token(Scope.READ), EvaluationContext("user-7")
    headers = {"Authorization": f"Bearer {token}"}
    api.set_provider_and_wait(OFREPProvider(
        console.url, headers_factory=lambda: headers, timeout=LONGEST_PAUSE), "known")
    api.set_provider_and_wait(OFREPProvider(console.url, timeout=LONGEST_PAUSE), "unknown")
    api.set_provider_and_wait(ChangeoverProvider.from_console(
        console.url, token=token, wait_seconds=LONGEST_PAUSE), "ours")
    client = api.get_client("known")
    wait_for(lambda: client.get_boolean_value("new", False, user))
    found = client.get_boolean_details("new", False, user)
    assert (found.value, found.variant, found.reason) == (True, "candidate", Reason.SPLIT)
    assert api.get_client("ours").get_string_value("level", "", user) == "WARNING"
    assert client.get_boolean_details("nope", True, user).error_code is ErrorCode.FLAG_NOT_FOUND
    refused = api.get_client("unknown").get_boolean_details("new", False, user)
    assert (refused.value, refused.reason) == (False, Reason.ERROR)


def test_segment_by_the_key_is_known_to_everyone_who_is_asked(serve: Serve) -> None:
    """A user who is moved by name: decision, explanation and evaluation name one system."""
    routing = make_plan().routing.model_dump(mode="json", exclude_none=True)
    routing["segments"]["vip"] = {"header": "x-user-id", "any_of": ["user-1"]}
    console = with_flags(serve, routing=routing)
    console.move(Mode.GRADUAL, 0, segments=("vip",))
    client = console.client()
    wait_for(lambda: client.get("/v1/explain").json()["mode"] == "gradual")
    for key, system in (("user-1", "candidate"), ("user-2", "baseline")):
        said = [client.get(f"/v1/decision/{key}").json()["system"],
                client.get("/v1/explain", params={"key": key}).json()["system"],
                client.post("/ofrep/v1/evaluate/flags/changeover.system",
                            json={"context": {"targetingKey": key}}).json()["value"]]
        assert said == [system] * 3


def test_answers_are_marked_while_the_store_cannot_be_read(serve: Serve) -> None:
    """Evaluations go on and say so; who has the snapshot hears it at once; then all is well."""
    console = with_flags(serve)
    client = console.client()
    api.set_provider_and_wait(
        ChangeoverProvider.from_console(console.url, wait_seconds=LONGEST_PAUSE), "ours")
    ours = api.get_client("ours")
    known = {"If-None-Match": client.get("/v1/flags/snapshot").headers["etag"]}
    fresh = client.post(ALL, json=USER)
    database = console.home.root / "store.db"
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE flag_change RENAME TO away")
    wait_for(lambda: client.post(ONE, json=USER).json()["metadata"].get("stale"), what="stale")
    stale = client.post(ALL, json=USER, headers={"If-None-Match": fresh.headers["etag"]})
    assert stale.status_code == 200
    assert {one["metadata"].get("stale") for one in stale.json()["flags"]} == {True}
    assert stale.json()["metadata"]["stale"] is True
    assert client.get("/v1/explain").json()["is_stale"] is True
    answer = client.get("/v1/flags/snapshot", headers=known, params={"wait": 30})
    assert (answer.status_code, answer.json()["errorDetails"]) == (
        503, "the store cannot be read now: what you have may be old")
    assert client.get("/v1/flags/snapshot").is_success
    wait_for(lambda: ours.get_provider_status() is ProviderStatus.STALE, what="stale provider")
    assert ours.get_string_details("level", "", EvaluationContext("u")).reason is Reason.STALE
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE away RENAME TO flag_change")
    wait_for(lambda: "stale" not in client.post(ONE, json=USER).json()["metadata"], seconds=20)
    wait_for(lambda: ours.get_provider_status() is ProviderStatus.READY, seconds=20)
    assert client.post(ALL, json=USER).headers["etag"] == fresh.headers["etag"]


PREFLIGHT = {"Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "content-type,authorization"}


def test_pages_of_the_plans_origins_may_ask_for_flags_and_nothing_else(serve: Serve) -> None:
    """A browser is told so before and after, even when it has no token yet; other pages are not."""
    console = with_flags(serve, host="0.0.0.0",  # noqa: S104  what is tested
                         console={"origins": ["https://app.example"]})
    client = console.client()

    def allowed(method: str, path: str, origin: str, **headers: str) -> str | None:
        answer = client.request(method, path, headers={"Origin": origin, **headers})
        return answer.headers.get("access-control-allow-origin")

    for path in (ONE, ALL, EVENTS_PATH):
        assert allowed("OPTIONS", path, "https://app.example", **PREFLIGHT) == (
            "https://app.example")
        assert allowed("OPTIONS", path, "https://evil.example", **PREFLIGHT) is None
    assert allowed("POST", ONE, "https://app.example") == "https://app.example"  # 401, told why
    assert allowed("POST", ONE, "https://evil.example") is None
    for path in ("/v1/status", "/v1/flags/snapshot", "/v1/claims/a", "/v1/outcomes"):
        assert allowed("OPTIONS", path, "https://app.example", **PREFLIGHT) is None
        assert allowed("GET", path, "https://app.example") is None


def test_without_origins_no_page_may_ask(console: Served) -> None:
    """The default: browsers keep every page from reading an answer."""
    answer = console.client().options(ALL, headers={"Origin": "https://app.example", **PREFLIGHT})
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_answers_are_not_cached_on_the_way(serve: Serve) -> None:
    """One word about caches, not two that contradict each other."""
    client = with_flags(serve).client()
    for answer in (client.post(ALL, json=USER), client.get("/v1/flags/snapshot"),
                   client.post(ONE, json=USER)):
        assert answer.headers.get_list("cache-control") == ["no-store"]


headers = st.dictionaries(
    st.sampled_from(["Last-Event-ID", "Accept", "Cache-Control", "If-None-Match", "Range"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40), max_size=3)


@given(headers=headers, query=st.text(st.characters(min_codepoint=32, max_codepoint=0x2ff),
                                      max_size=20))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_event_stream_opens_whatever_is_sent_along(
    console: Served, headers: dict[str, str], query: str
) -> None:
    """The stream has no end, so its first line is what is looked at."""
    sent = {name: value.strip() for name, value in headers.items()}
    with httpx.stream("GET", f"{console.url}{EVENTS_PATH}", params={"q": query}, headers=sent,
                      timeout=LONGEST_PAUSE) as stream:
        assert stream.status_code == 200
        assert next(stream.iter_lines()) == "retry: 1000"


"""OFREP over the wire: what the protocol promises, and nothing that breaks the service."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import jsonschema
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from changeover.console import ofrep
from changeover.console.asking import LARGEST_REQUEST
from changeover.console.ofrep import Snapshots, routes
from changeover.domain.routing import Mode
from changeover.flags.evaluate import Evaluator
from changeover.sdk.feed import LatestFlags
from changeover.store import flags
from tests.integration.flags.conftest import Site
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration

USER = {"context": {"targetingKey": "user-7"}}
REASONS = ["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]
SUCCESS = {
    "type": "object", "required": ["key", "reason", "value", "variant"],
    "properties": {
        "key": {"type": "string"}, "reason": {"enum": REASONS}, "variant": {"type": "string"},
        "value": {"type": ["boolean", "string", "number", "object"]},
        "metadata": {"type": "object",
                     "additionalProperties": {"type": ["boolean", "string", "number"]}},
    },
}
BULK = {
    "type": "object", "required": ["flags"],
    "properties": {
        "flags": {"type": "array", "items": SUCCESS},
        "metadata": SUCCESS["properties"]["metadata"],  # type: ignore[index]
        "eventStreams": {"type": "array", "items": {
            "required": ["type", "endpoint"], "not": {"required": ["url"]},
            "properties": {"endpoint": {
                "required": ["requestUri"],
                "properties": {"requestUri": {"type": "string", "pattern": "^/"}}}}}},
    },
}
CODES = {"PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"}


def test_single_evaluation_gives_value_variant_and_reason(console: Site) -> None:
    """One flag for one user, in the protocol's form, and always with a value."""
    answer = console.post("/ocr", USER)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    jsonschema.validate(found, SUCCESS)
    assert (found["value"], found["variant"], found["reason"]) == (
        {"engine": "open-ocr", "retries": 5}, "open", "SPLIT")
    assert found["metadata"]["why"] == "rule 2: 25 % of users"
    assert console.post("/paying", USER).json()["reason"] == "UNKNOWN"
    assert console.post("/enable_ai").json()["value"] is False


def test_unknown_flag_is_not_found(console: Site) -> None:
    """404 with the protocol's code, whatever stands in the path."""
    for key in ("nope", "a%2Fb", "%00", "x" * 2_000, "%ff", ""):
        answer = console.post(f"/{key}", USER)
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")
        assert answer.json()["errorDetails"]


@pytest.mark.parametrize(("body", "status", "code"), [
    (b"{", 400, "PARSE_ERROR"),
    (b"[]", 400, "PARSE_ERROR"),
    (b"null", 400, "PARSE_ERROR"),
    (b'{"contxt": {"targetingKey": "u"}}', 400, "PARSE_ERROR"),
    (b'{"context": 3}', 400, "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": 3}}', 400, "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": "\\ud800"}}', 400, "INVALID_CONTEXT"),
    (b'{"context": {"targetingKey": "\\ud800", "a": NaN}}', 400, "PARSE_ERROR"),
    (b'{"context": {"a": NaN}}', 400, "PARSE_ERROR"),
    (b"[" * 60_000, 400, "PARSE_ERROR"),
    (b"\xff\xfe", 400, "PARSE_ERROR"),
    (b'{"context": {"a": "' + b"x" * LARGEST_REQUEST + b'"}}', 413, "INVALID_CONTEXT"),
], ids=lambda value: repr(value)[:40])
def test_bad_request_gets_the_protocols_error(
    console: Site, body: bytes, status: int, code: str
) -> None:
    """What is no request is refused with a code and a sentence, for one flag and for all."""
    for path in ("/ocr", ""):
        answer = console.post(path, body)
        assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
        assert answer.json()["errorDetails"]
        assert (answer.json().get("key") == "ocr") is bool(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner,
                                                                max_size=4), max_leaves=12)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"context": value}).encode())
    | json_values.map(lambda value: json.dumps(
        {"context": {"targetingKey": value, "x-cohort": value, "plan": value}}).encode())
)


@given(body=bodies, path=st.sampled_from(["", "/ocr", "/useNewArchitecture", "/paying"]))
@settings(max_examples=300, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_gets_an_answer_of_the_protocol(console: Site, body: bytes, path: str) -> None:
    """Whatever is sent, there is a value or 400 with a code; never a server error."""
    answer = console.post(path, body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["errorCode"] in CODES
    else:
        jsonschema.validate(answer.json(), SUCCESS if path else BULK)


def test_bulk_evaluates_all_flags_and_is_not_sent_twice(console: Site) -> None:
    """All flags with an ETag; the same again is 304, for another user it is not."""
    first = console.post("", USER)
    jsonschema.validate(first.json(), BULK)
    assert [flag["key"] for flag in first.json()["flags"]] == [
        "changeover.system", "enable_ai", "log_level", "memory_limit_mb", "ocr", "of_age", "paying",
        "threshold", "useNewArchitecture"]
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = console.post("", USER, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = console.post("", {"context": {"targetingKey": "user-1"}},
                         headers={"If-None-Match": tag})
    assert (other.status_code, other.headers["etag"] != tag) == (200, True)


def test_change_that_is_none_for_a_user_is_not_sent(console: Site) -> None:
    """The ETag is of the answers: a new version without another value is still 304."""
    tag = console.post("", USER).headers["etag"]
    console.move(Mode.SHADOW)
    wait_for(lambda: httpx.get(f"{console.url}/v1/explain").json()["mode"] == "shadow")
    changed = console.post("", USER, headers={"If-None-Match": tag}).json()
    assert changed["flags"][0]["metadata"]["why"] == "mode shadow"
    tag = console.post("", USER).headers["etag"]
    console.set("threshold", 0.05)
    assert console.post("", USER, headers={"If-None-Match": tag}).status_code == 304


def events(site: Site, **headers: str) -> Iterator[dict[str, str]]:
    """Yield server-sent events as mappings of their fields."""
    path = site.post("", USER).json()["eventStreams"][0]["endpoint"]["requestUri"]
    with httpx.stream("GET", f"{site.url}{path}", headers=headers, timeout=LONGEST_PAUSE) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in stream.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line:
                yield fields
                fields = {}


def test_event_tells_to_fetch_again(console: Site) -> None:
    """A change is announced on the stream that bulk evaluation names, as ADR 0008 says."""
    stream = events(console)
    assert next(stream) == {"retry": "1000"}
    console.set("enable_ai", True)
    event = next(one for one in stream if "data" in one)
    data = json.loads(event["data"])
    assert (event["event"], data["type"], event["id"]) == (
        "message", "refetchEvaluation", data["etag"])
    assert abs(data["lastModified"] - time.time()) < 60
    answer = console.post(f"?flagConfigEtag={data['etag']}", USER)
    assert {f["key"]: f["value"] for f in answer.json()["flags"]}["enable_ai"] is True


def test_client_that_was_away_hears_what_it_missed(console: Site) -> None:
    """With Last-Event-ID of an older state the event comes at once."""
    stream = events(console, **{"Last-Event-ID": "an-older-one"})
    next(stream)
    assert json.loads(next(stream)["data"])["type"] == "refetchEvaluation"


def test_event_of_another_console_is_waited_for(console: Site) -> None:
    """Asked with an etag that this console has not seen yet, it catches up before it answers."""
    before = console.post("", USER)
    etag = flags.marker(console.store, "shop")
    head, _, change = etag.rpartition("-")
    timer = threading.Timer(0.1, console.set, ("log_level", "DEBUG"))
    timer.start()
    answer = console.post(f"?flagConfigEtag={head}-{int(change) + 1}", USER)
    timer.join()
    assert {f["key"]: f["value"] for f in answer.json()["flags"]}["log_level"] == "DEBUG"
    assert answer.headers["etag"] != before.headers["etag"]


def test_explanation_takes_a_context_as_the_protocol_does(console: Site) -> None:
    """What OFREP answers is what is explained: numbers and true keep their type, either way."""
    console.set("log_level", "DEBUG")
    context = {"targetingKey": "user-7", "plan": "gold", "age": 40}
    url = f"{console.url}/v1/explain"
    wait_for(lambda: console.post("/log_level").json()["value"] == "DEBUG")
    for flag in ("of_age", "paying", "log_level"):
        told = console.post(f"/{flag}", {"context": context}).json()["value"]
        for answer in (
            console.client.post(url, json={"context": context, "flag": flag}),
            console.client.get(f"{url}?key=user-7&plan=gold&age=40&flag={flag}"),
        ):
            assert answer.json()["flags"][flag]["value"] == told, (flag, answer.text)
    assert console.post("/of_age", {"context": context}).json()["value"] is True
    refused = console.client.post(url, json={"contxt": context})
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "PARSE_ERROR")


def test_explanation_over_http_is_the_command_lines(console: Site) -> None:
    """The same words, and attributes as parameters."""
    console.move(Mode.GRADUAL, 2_500, segments=("beta",))
    found: dict[str, Any] = wait_for(lambda: (  # type: ignore[assignment]
        one := httpx.get(f"{console.url}/v1/explain?key=user-1&x-cohort=beta").json())
        and one["mode"] == "gradual" and one)
    assert (found["system"], found["because"]) == (
        "candidate", "segment beta has moved (gradual 25 %)")
    assert console.client.get(f"{console.url}/v1/explain?key=u&flag=nope").status_code == 400


class Counting:
    """Snapshots that change by hand only, and who listens to them."""

    def __init__(self, latest: LatestFlags) -> None:
        self.latest, self.listeners = latest, 0

    def subscribe(self, _listener: Callable[[LatestFlags], None]) -> Callable[[], None]:
        """Count one more, until it ends."""
        self.listeners += 1

        def end() -> None:
            self.listeners -= 1

        return end


def test_change_that_comes_while_a_stream_opens_is_told(site: Site) -> None:
    """A client that has read the stream's first line misses nothing from then on."""
    def latest() -> LatestFlags:
        return LatestFlags(Evaluator(flags.snapshot(site.store, "shop")))

    async def told() -> tuple[bytes, bytes]:
        snapshots = Counting(latest())
        stream = ofrep._Events(snapshots)._events(None)
        first = await anext(stream)
        site.set("enable_ai", True)
        snapshots.latest = latest()
        return first, await anext(stream)

    first, second = asyncio.run(told())
    assert first == b"retry: 1000\n\n"
    assert b"refetchEvaluation" in second


@contextmanager
def served(snapshots: Snapshots) -> Iterator[int]:
    """Serve the routes from this process; yield the port."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(
        Starlette(routes=routes(snapshots)), port=port, log_level="warning",
        timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started, what="server")
        yield port
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.mark.parametrize("path", ["/v1/flags/snapshot?wait=3600", "/ofrep/v1/events"])
def test_client_that_left_is_not_waited_for(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long poll or a stream ends with its client, not after the time that was asked for."""
    for limit in ("LONGEST_WAIT_SECONDS", "KEEP_ALIVE_SECONDS"):
        monkeypatch.setattr(ofrep, limit, 3600.0)
    snapshot = flags.snapshot(site.store, "shop")
    counting = Counting(LatestFlags(Evaluator(snapshot)))
    with served(counting) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f'GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n'
                               f'if-none-match: "{snapshot.etag}"\r\n\r\n'.encode())
            wait_for(lambda: counting.listeners == 1, what="a listener")
        wait_for(lambda: counting.listeners == 0, seconds=10, what="nobody listening")

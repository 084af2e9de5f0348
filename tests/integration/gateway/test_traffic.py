"""What passes the gateway unchanged, and how the access log judges what does not."""

from __future__ import annotations

import itertools
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import Mode, System
from changeover.gateway.accesslog import Entry, classify
from tests.integration.conftest import Bench
from tests.integration.gateway.load import Log, outcome
from tests.integration.gateway.odd import Odd, odd_site, raw
from tests.integration.gateway.systems import STREAM_PIECES
from tests.support.processes import LONGEST_PAUSE, kill, wait_for

pytestmark = pytest.mark.integration
HASTY = 1.0
"""Seconds of a `timeout` that has to pass."""


@pytest.fixture(scope="module")
def odd_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odd]:
    """Everyone at the odd candidate; two requests at once."""
    with odd_site(tmp_path_factory.mktemp("odd"), concurrency=2) as bench:
        yield bench


@pytest.fixture
def odd(odd_bench: Odd) -> Odd:
    """The odd candidate with all the time it needs."""
    odd_bench.within()
    return odd_bench


def _send(bench: Bench, key: str, path: str = "/", method: str = "GET", **headers: str) -> int:
    """Return the status a user got; 0 when the answer broke off."""
    try:
        answer = httpx.request(
            method, bench.url + path, headers={"x-user-id": key, **headers},
            timeout=2 * LONGEST_PAUSE,
        )
    except httpx.RemoteProtocolError:
        return 0
    return answer.status_code


CASES = [
    pytest.param("/", "GET", {}, None, False, id="good"),
    pytest.param("/cut", "GET", {}, ErrorClass.RESET, True, id="broken-off"),
    pytest.param("/endless", "GET", {"silence": HASTY}, ErrorClass.TIMEOUT, True,
                 id="silent-within-the-answer"),
    pytest.param("/wait/600", "HEAD", {"timeout": HASTY}, ErrorClass.SAVED, False,
                 id="no-head-in-time"),
    pytest.param("/wait/600", "POST", {"timeout": HASTY}, ErrorClass.TIMEOUT, True,
                 id="no-answer-in-time"),
    pytest.param("/wait/600", "GET", {"attempt_timeout": 5}, ErrorClass.SAVED, False,
                 id="slow-and-saved"),
]


@pytest.mark.parametrize(("path", "method", "limits", "error", "is_user_error"), CASES)
def test_log_line_tells_how_the_request_went(
    odd: Odd, path: str, method: str, limits: dict[str, float], error: ErrorClass | None,
    is_user_error: bool, request: pytest.FixtureRequest,
) -> None:
    """Each way to fail gets its class, also when the status had been 200."""
    odd.within(**limits)
    key = request.node.name
    _send(odd, key, path, method)
    expected = outcome(System.CANDIDATE, error, is_user_error=is_user_error)
    assert Log(odd).outcome(key) == expected


def test_request_over_the_concurrency_limit_is_answered_by_the_baseline(odd: Odd) -> None:
    """The plan's concurrency is hard: users get the baseline's answer, counted as saved."""
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(_send, odd, "over", "/hold", "POST") for _ in range(2)]
        wait_for(lambda: odd.candidate.waiting == 2, what="a full candidate")
        statuses = [_send(odd, "over", "/hold", "POST") for _ in range(3)]
        for _ in held:
            odd.candidate.go_on()
    assert statuses + [each.result() for each in held] == [200] * 5
    errors = [classify(entry) for entry in Log(odd).all_of("over", 5)]
    saved = [found for found in errors if found is not None and found.error is not None]
    assert {found.error for found in saved} == {ErrorClass.SAVED}
    assert len(saved) == 3


def test_user_who_goes_away_is_nobodys_failure(odd: Odd) -> None:
    """A closed connection before the answer is counted as no error."""
    raw(odd, "GET /wait/0.3 HTTP/1.1\r\nhost: a\r\nx-user-id: gone\r\n\r\n").close()
    assert Log(odd).outcome("gone") == outcome(System.CANDIDATE, None, is_user_error=False)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_event_stream_may_last_longer_than_the_timeout(odd: Odd, method: str) -> None:
    """Each piece arrives before the next is sent, and nothing cuts the stream at `timeout`."""
    odd.within(timeout=HASTY)
    pieces = []
    headers = {"x-user-id": f"sse-{method}", "accept": "text/event-stream"}
    with httpx.stream(
        method, f"{odd.url}/stream", headers=headers, timeout=LONGEST_PAUSE
    ) as answer:
        for piece in answer.iter_raw():
            pieces.append(piece)
            time.sleep(2 * HASTY / STREAM_PIECES)
            odd.candidate.go_on()
    assert pieces == [b"hello"] * STREAM_PIECES
    assert Log(odd).outcome(f"sse-{method}") == outcome(
        System.CANDIDATE, None, is_user_error=False
    )


def test_websocket_lives_longer_than_the_timeout(odd: Odd) -> None:
    """An upgraded connection carries both directions beyond the request's timeout."""
    odd.within(timeout=HASTY)
    keys = (f"ws-{number}" for number in itertools.count())

    def upgraded() -> tuple[str, socket.socket] | None:
        key = next(keys)
        connection = raw(
            odd, f"GET / HTTP/1.1\r\nhost: a\r\nx-user-id: {key}\r\nupgrade: websocket\r\n"
            "connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: a\r\n\r\n",
        )
        if b" 101 " in connection.recv(1000):
            return key, connection
        connection.close()
        return None

    key, connection = wait_for(upgraded, what="an upgrade within the timeout")
    with connection:
        until = time.monotonic() + 1.5 * HASTY
        while time.monotonic() < until:
            connection.sendall(b"ping")
            assert connection.recv(10) == b"ping"
            time.sleep(0.1)
    assert Log(odd).outcome(key) == outcome(System.CANDIDATE, None, is_user_error=False)


def test_headers_reach_the_system_as_they_should(odd: Odd) -> None:
    """The request id and unknown headers stay, ours are removed, the proxy's are added."""
    answer = httpx.get(odd.url, timeout=LONGEST_PAUSE, headers={
        "x-user-id": "headers", "x-request-id": "mine-1", "x-forwarded-for": "203.0.113.7",
        "x-changeover-shadow": "1", "x-changeover-system": "candidate", "x-changeover-key": "k",
        "x-other": "kept",
    })
    seen = dict(line.split(": ", 1) for line in answer.text.splitlines() if ": " in line)
    assert (seen["x-request-id"], seen["x-other"]) == ("mine-1", "kept")
    assert seen["x-forwarded-for"].startswith("203.0.113.7,")
    assert not [name for name in seen if name.startswith("x-changeover")]
    assert answer.headers["server"] == "mine"


def test_clients_cannot_order_retries(odd: Odd) -> None:
    """Envoy's control headers from outside have no effect."""
    assert _send(odd, "control", "/wait/0.6", "POST", **{
        "x-envoy-upstream-rq-timeout-ms": "100", "x-envoy-retry-on": "5xx,reset",
    }) == 200
    assert Log(odd).entry("control").attempts == 1


def test_http2_without_tls_is_served(odd: Odd) -> None:
    """Clients may speak HTTP/2 at once."""
    answer = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w",
         "%{http_version} %{http_code}", odd.url], capture_output=True, text=True, check=True,
    )
    assert answer.stdout == "2 200"


def test_duration_is_in_microseconds(odd: Odd) -> None:
    """A wait of 100 ms is logged as such, finer than milliseconds."""
    _send(odd, "exact", "/wait/0.1", "POST")
    entry = Log(odd).entry("exact")
    assert 100_000 <= entry.duration_us < 60_000_000
    assert abs(entry.end - time.time()) < 60


def test_saved_and_ejected_requests_are_the_candidates_failures(bench: Bench) -> None:
    """The first failures are saved by a retry, later ones at the first attempt; all count."""
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    bench.fault("503")
    log, keys = Log(bench), (f"user-{number}" for number in itertools.count())

    def saved() -> Entry:
        key = next(keys)
        assert _send(bench, key) == 200
        assert log.outcome(key) == outcome(
            System.CANDIDATE, ErrorClass.SAVED, is_user_error=False)
        return log.entry(key)

    assert saved().attempts == 2
    wait_for(lambda: saved().attempts == 1, what="an ejected candidate")


def test_503_of_the_candidate_to_a_post_is_its_own_error(bench: Bench) -> None:
    """What cannot be retried reaches the user and counts as the candidate's 5xx."""
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    bench.fault("503")
    assert _send(bench, "post", method="POST") == 503
    assert Log(bench).outcome("post") == outcome(
        System.CANDIDATE, ErrorClass.STATUS_5XX, is_user_error=True
    )


@pytest.mark.parametrize(("method", "is_answer"), [("GET", True), ("HEAD", False)])
def test_access_log_tells_the_size_of_the_body(
    bench: Bench, method: str, is_answer: bool
) -> None:
    """What the user read is what is counted, byte for byte; of a HEAD nobody expects a body."""
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    key = f"size-{method}"
    body = httpx.request(method, f"{bench.url}/", headers={"x-user-id": key}, trust_env=False,
                         timeout=LONGEST_PAUSE).content
    entry = Log(bench).entry(key)
    found = classify(entry)
    assert (entry.method, entry.body_bytes) == (method, len(body))
    assert found is not None and found.is_answer is is_answer


def test_dead_baseline_is_the_baselines_error(bench: Bench) -> None:
    """Without anybody behind it a dead baseline is seen by users, as no connection."""
    kill(bench.processes["baseline"])
    assert _send(bench, "dead") == 503
    assert Log(bench).outcome("dead") == outcome(
        System.BASELINE, ErrorClass.CONNECT, is_user_error=True
    )


def test_maintenance_answers_503_with_the_reason(bench: Bench) -> None:
    """The reason is JSON, whatever it contains, and belongs to no system's errors."""
    reason = 'we "move" <b>%REQ(x)%</b> é\n' + "x" * 5000
    bench.move(Mode.BASELINE_ONLY, maintenance=True, maintenance_reason=reason)
    answer = httpx.post(bench.url, headers={"x-user-id": "closed"}, timeout=LONGEST_PAUSE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["reason"] == reason[:1000]
    assert Log(bench).outcome("closed") is None


def test_no_line_is_lost_when_the_log_is_rotated(bench: Bench) -> None:
    """Rotation and reopening under requests: every request is read once."""
    log = Log(bench)
    tailer = log._tailer
    for number in range(30):
        _send(bench, "rotated")
        if number % 10 == 9:
            log.all_of("rotated", number + 1)
            assert tailer.rotate(10)
            bench.gateway.admin.reopen_logs()
    assert len(log.all_of("rotated", 30)) == 30

"""A slow user gets everything and is nobody's failure; a slow system is cut and counted."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from changeover.domain.routing import System
from changeover.gateway.accesslog import classify
from tests.integration.gateway.load import Log, outcome
from tests.integration.gateway.odd import Odd, odd_site, raw
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
HASTY = 1.0
SIZE = 24 << 20
SMALL = 16_384
FINE = outcome(System.CANDIDATE, None, is_user_error=False)


@pytest.fixture(scope="module", params=[None, 2], ids=["direct", "limited"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Odd]:
    """Everyone at the odd candidate, straight and over the second hop."""
    with odd_site(tmp_path_factory.mktemp("slow"), concurrency=request.param) as bench:
        yield bench


@pytest.fixture
def hasty(site: Odd) -> Odd:
    """A gateway in which every system's limit is a second."""
    site.within(timeout=HASTY, attempt_timeout=HASTY)
    return site


def _request(method: str, path: str, key: str, *lines: str) -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: a", f"x-user-id: {key}", *lines,
                        "", ""])


def _read_slowly(connection: socket.socket, seconds: float, size: int = SIZE) -> int:
    """Read an answer of `size` bytes in no less than `seconds`; return the bytes that came."""
    began, got = time.monotonic(), 0
    while got < size and (part := connection.recv(65_536)):
        got += len(part)
        time.sleep(max(0.0, began + seconds * got / size - time.monotonic()))
    return got


@pytest.mark.parametrize("lines", [(), ("connection: close",), ("accept: text/event-stream",)],
                         ids=["kept", "closed", "event-stream"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_user_on_a_slow_line_gets_all_of_a_large_answer(
    hasty: Odd, method: str, lines: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """Reading for longer than every limit of the systems cuts nothing and blames nobody."""
    key = request.node.name
    with raw(hasty, _request(method, f"/down/{SIZE}", key, "content-length: 0", *lines),
             receives=SMALL) as user:
        assert _read_slowly(user, 3 * HASTY) >= SIZE
    assert Log(hasty).outcome(key) == FINE
    assert Log(hasty).entry(key).attempts == 1


def test_user_who_pauses_gets_the_rest(hasty: Odd, request: pytest.FixtureRequest) -> None:
    """Nothing is taken for longer than the limit, in the middle; then everything comes."""
    key = request.node.name
    with raw(hasty, _request("GET", f"/down/{SIZE}", key), receives=SMALL) as user:
        got = len(user.recv(65_536))
        time.sleep(2 * HASTY)
        while got < SIZE:
            got += len(user.recv(1 << 20))
    assert Log(hasty).outcome(key) == FINE


@pytest.mark.parametrize("size", [64 << 10, 2 << 20], ids=["short", "long"])
def test_user_who_pauses_at_the_end_of_a_closing_connection_gets_the_rest(
    hasty: Odd, size: int, request: pytest.FixtureRequest
) -> None:
    """The system has answered all of it, the gateway holds the rest for longer than a second."""
    key = request.node.name
    with raw(hasty, _request("GET", f"/down/{size}", key, "connection: close"),
             receives=SMALL) as user:
        got = len(user.recv(4096))
        time.sleep(2 * HASTY)
        while part := user.recv(1 << 20):
            got += len(part)
    assert got >= size


def test_connection_closes_as_soon_as_a_user_who_asked_for_it_has_everything(
    hasty: Odd, request: pytest.FixtureRequest
) -> None:
    """Who waits for the end of the connection does not wait for a limit of the gateway."""
    connection = raw(hasty, _request("GET", "/", request.node.name, "connection: close"))
    with connection:
        connection.settimeout(8)
        while connection.recv(65_536):
            continue


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_slow_upload_is_nobodys_failure(
    hasty: Odd, method: str, request: pytest.FixtureRequest
) -> None:
    """The system's time begins with the last byte of the request; slow reading may follow."""
    key = request.node.name
    with raw(hasty, _request(method, f"/down/{SIZE}", key, "content-length: 6"),
             receives=SMALL) as user:
        for _ in range(6):
            time.sleep(HASTY / 3)
            user.sendall(b"x")
        assert _read_slowly(user, 2 * HASTY) >= SIZE
    assert Log(hasty).outcome(key) == FINE


def test_answer_that_drips_is_not_cut(hasty: Odd, request: pytest.FixtureRequest) -> None:
    """Once it has begun it may take as long as it goes on; the baseline is not asked instead."""
    key = request.node.name
    with raw(hasty, _request("GET", "/stream", key)) as user:
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += user.recv(1000)
            time.sleep(HASTY / 3)
            hasty.candidate.go_on()
    assert Log(hasty).outcome(key) == FINE
    assert Log(hasty).entry(key).attempts == 1


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odd]:
    """A gateway started with a plan that allows two seconds of silence."""
    quick = {"silence": "2s"}
    with odd_site(tmp_path_factory.mktemp("impatient"), baseline=quick, **quick) as bench:
        yield bench


def test_user_who_takes_nothing_at_all_went_away(
    impatient: Odd, request: pytest.FixtureRequest
) -> None:
    """The kernel gives such a user up before the silence could be laid at the system's door."""
    key = request.node.name
    with raw(impatient, _request("GET", f"/down/{SIZE}", key), receives=SMALL):
        entry = wait_for(lambda: Log(impatient).all_of(key, 1), what="the end")[0]
    assert "DC" in entry.flags
    assert classify(entry) == FINE


def test_user_who_never_ends_the_request_is_nobodys_failure(
    impatient: Odd, request: pytest.FixtureRequest
) -> None:
    """It is answered 408, which counts against neither system, not even as a client's error."""
    key = request.node.name
    with raw(impatient, _request("POST", "/", key, "content-length: 9")) as user:
        assert user.recv(100).startswith(b"HTTP/1.1 408 ")
    assert Log(impatient).outcome(key) == FINE

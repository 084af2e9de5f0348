"""A client's view through the gateway against straight at the system, byte for byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.accesslog import Entry, refusal
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.gateway.tailer import Tailer
from tests.integration.conftest import make_plan
from tests.integration.gateway.kinds import (
    ADDED,
    KINDS,
    LARGE,
    OK,
    PROXY,
    Kind,
    large,
    posts,
)
from tests.integration.gateway.wire import END, WireSystem, exchange
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

pytestmark = pytest.mark.integration
DOCUMENT = Path(__file__).parents[3] / "docs" / "gateway.md"
_DATE = re.compile(rb"(?<=\r\ndate: )[^\r]*(?=\r\n)")


@dataclass
class Wire:
    """A system by its own port, and the same through a gateway with its access log."""

    system: WireSystem
    direct: int
    gateway: int
    log: Tailer
    below: bytes = b""
    """What stands before each path that the system gets through the gateway."""
    refused: int = 0
    """How many requests were sent to the gateway that it refuses."""
    counted: int = 0
    """How many refusals its log has told so far."""

    def rest(self) -> list[Entry]:
        """Return the lines of the log since it was last asked."""
        found = self.log.read()
        self.counted += sum(refusal(entry) is not None for entry in found)
        return found

    def tries(self, kind: Kind, port: int) -> tuple[bytes, bytes]:
        """Return what the system got and what the client got."""
        self.system.received.clear()
        self.system.answer, self.system.interim = kind.answer, kind.interim
        self.system.closes = kind.closes
        self.refused += port == self.gateway and kind.refused is not None
        got = exchange(port, kind.sends, kind.answers)
        seen = self.system.received
        if port == self.gateway and self.below:
            seen = [self._without(each) for each in seen]
        return b"".join(seen), got

    def _without(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        assert rest.startswith(self.below + b"/"), request[:100]
        return method + b" " + rest.removeprefix(self.below)


BELOW = "/v2"


@pytest.fixture(scope="module", params=["baseline", "limited candidate", "baseline below a path"])
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    """Everyone at the baseline; at a candidate behind its limit's second hop; and at a baseline
    behind the hop that puts a path before each request's.
    """
    directory = tmp_path_factory.mktemp("wire")
    system = WireSystem()
    is_limited = request.param == "limited candidate"
    below = BELOW if request.param == "baseline below a path" else ""
    with system.serving() as port:
        url = {"url": f"http://127.0.0.1:{port}", "timeout": "60s", "attempt_timeout": "60s"}
        plan = make_plan(systems={
            "baseline": {"name": "old", **url, "url": url["url"] + below},
            "candidate": {"name": "new", **url, "concurrency": 100 if is_limited else None},
        }, routing={"listen": f"127.0.0.1:{free_port()}"})
        gateway = Gateway(GatewayFiles(directory / "gateway"), patience=LONGEST_PAUSE)
        mode, weight = (Mode.CANDIDATE_ONLY, 10_000) if is_limited else (Mode.BASELINE_ONLY, 0)
        gateway.prepare(plan, RoutingState("bench", mode=mode, weight=weight, version=1))
        with running(envoy_command(gateway.files), directory / "envoy.log"):
            system.answer = OK
            wait_for(lambda: httpx.get(f"http://{plan.routing.listen}/").status_code == 200)
            yield Wire(system, port, int(plan.routing.listen.rpartition(":")[2]),
                       Tailer(gateway.files.access_log, {}), below.encode())


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=kind.name) for kind in KINDS if kind.refused is None])
def test_client_and_system_see_the_same_bytes(wire: Wire, kind: Kind) -> None:
    """What arrives through the gateway is what arrives without it, but for what is documented."""
    assert wire.tries(kind, wire.direct) == (kind.sends, kind.interim + kind.answer * kind.answers)
    received, got = wire.tries(kind, wire.gateway)
    given = {match[1] for match in ADDED.finditer(kind.sends)}
    seen = ADDED.sub(lambda line: line[0] if line[1] in given else b"", received)
    assert seen == (kind.system_gets or kind.sends)
    if kind.client_gets and b"date: NOW" in kind.client_gets:
        got = _DATE.sub(b"NOW", got)
    assert got == (kind.client_gets or kind.interim + kind.answer * kind.answers)


@pytest.mark.parametrize("name", LARGE)
def test_fifty_megabytes_pass_unchanged(wire: Wire, name: str) -> None:
    """A body of 50 MB in either direction, with and without a length, is the same bytes."""
    kind = large(name)
    received, got = wire.tries(kind, wire.gateway)
    # by their digests: nobody could read what pytest would say of the bytes
    assert _digest(ADDED.sub(b"", received)) == _digest(kind.sends)
    assert _digest(got) == _digest(kind.client_gets or kind.interim + kind.answer)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=kind.name) for kind in KINDS if kind.refused is not None])
def test_gateway_refuses_by_itself(wire: Wire, kind: Kind) -> None:
    """What is documented as refused gets that status, and no system gets anything."""
    received, got = wire.tries(kind, wire.gateway)
    assert received == b""
    assert re.match(rb"HTTP/1\.[01] (\d+) ", got)[1] == b"%d" % (kind.refused or 0)  # type: ignore[index]


def _digest(message: bytes) -> tuple[bytes, int, str]:
    head, _, body = message.partition(END)
    return head, len(body), hashlib.sha256(body).hexdigest()


def test_every_refusal_is_counted_and_nothing_else(wire: Wire) -> None:
    """The access log tells each of them, with a reason, from what a system answered."""
    entries: list[Entry] = []
    for kind in KINDS:
        wire.tries(kind, wire.gateway)
    wait_for(lambda: entries.extend(wire.rest()) or wire.counted >= wire.refused,
             what="a line of each refusal")
    assert wire.counted == wire.refused
    assert "unknown" not in {refusal(entry) for entry in entries}
    answered = [entry for entry in entries if refusal(entry) is None]
    assert all(entry.served_by or "DC" in entry.flags for entry in answered)


def test_body_that_ceases_to_be_http_is_a_refusal(wire: Wire) -> None:
    """The system had begun to get it, and is not blamed for the 400."""
    wire.system.answer, wire.system.interim = OK, b""
    wire.refused += 1
    broken = b"3\r\nabc\r\nzz\r\n"
    got = exchange(wire.gateway, posts(b"transfer-encoding: chunked\r\n", broken))
    assert got.startswith(b"HTTP/1.1 400 ")
    entries: list[Entry] = []
    wait_for(lambda: entries.extend(wire.rest()) or any(
        entry.method == "POST" and refusal(entry) and entry.served_by for entry in entries),
        what="a line of the refusal")


@pytest.mark.parametrize(("headers", "is_taken"), [
    ({f"x-{number}": "1" for number in range(980)}, True),
    ({"cookie": "a" * 70_000}, True),
    ({f"x-{number}": "1" for number in range(1_001)}, False),
], ids=["980", "70 kB", "1,001"])
def test_http2_has_the_same_limits(
    wire: Wire, headers: dict[str, str], is_taken: bool
) -> None:
    """What is too large is refused by ending its stream, and counted."""
    wire.system.answer, wire.system.interim, wire.system.closes = OK, b"", False
    with httpx.Client(http1=False, http2=True, timeout=LONGEST_PAUSE) as client:
        if is_taken:
            assert client.get(f"http://127.0.0.1:{wire.gateway}/", headers=headers).text == "ok"
            return
        wire.refused += 1
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"http://127.0.0.1:{wire.gateway}/", headers=headers)
    entries: list[Entry] = []
    wait_for(lambda: entries.extend(wire.rest()) or "http2.too_many_headers" in [
        refusal(entry) for entry in entries], what="a line of the refusal")


def test_document_names_every_difference() -> None:
    """The tables of docs/gateway.md and the differences of these kinds are the same list."""
    documented = re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    tested = {PROXY, *(name for kind in KINDS for name in kind.differs)}
    assert sorted(documented) == sorted(tested)


def test_table_is_long_enough() -> None:
    """At least sixty kinds reach the system; each has a name of its own."""
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert sum(kind.refused is None for kind in KINDS) >= 60

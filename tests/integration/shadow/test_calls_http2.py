"""Copies to a system that speaks HTTP/2 only: what it gets is what the user asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from changeover.comparison.answers import Answer
from changeover.plan.systems import SystemSpec
from changeover.shadow.calls import Caller
from changeover.shadow.tap import Exchange
from tests.support.grpc_system import SERVICE, GrpcSystem
from tests.support.http2_system import Http2System
from tests.support.processes import LONGEST_PAUSE, free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def system() -> Iterator[tuple[Http2System, SystemSpec]]:
    """A system, and how a plan says where it is."""
    port, found = free_port(), Http2System("new")
    with found.serving(port):
        yield found, SystemSpec(name="new", url=f"http://127.0.0.1:{port}", protocol="http2")


def _exchange(
    path: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b""
) -> Exchange:
    return Exchange(method, path, headers, body, 200, (), b"", datetime.now(UTC), 0.0)


def _calls(spec: SystemSpec, *exchanges: Exchange, most: int = 1 << 20) -> list[Answer]:
    async def run() -> list[Answer]:
        caller = Caller(spec, timeout=LONGEST_PAUSE, concurrency=1, most_body=most)
        try:
            return [await caller.call(exchange) for exchange in exchanges]
        finally:
            await caller.close()

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/", "/q?", "/a?b#c", "/a%2Fb/../c", "//double", "/caf\udce9"])
def test_copy_asks_for_the_very_path(system: tuple[Http2System, SystemSpec], path: str) -> None:
    """Nothing is decoded, joined or tidied up."""
    _calls(system[1], _exchange(path, ("host", "shop.example"), ("x-a", "caf\udce9")))
    got = system[0].requests[-1]
    assert (got["path"], got["host"], got["method"]) == (path, "shop.example", "GET")
    assert got["headers"] == {"x-a": "caf\udce9", "x-changeover-shadow": "1"}


def test_call_of_grpc_has_its_trailers() -> None:
    """Also one that ended with an error behind no message; trailers of other answers are none."""
    port = free_port()
    spec = SystemSpec(name="new", url=f"http://127.0.0.1:{port}", protocol="http2")
    headers = ("content-type", "application/grpc")
    message = b"\0\0\0\0\x09NOT_FOUND"
    with GrpcSystem("new").serving(f"127.0.0.1:{port}"):
        fine, failed = _calls(spec, *[
            _exchange(f"/{SERVICE}/{name}", headers, method="POST", body=message)
            for name in ("One", "Fail")])
    assert (fine.headers["grpc-status"], fine.headers["x-served-by"]) == ("0", "new")
    assert b"NOT_FOUND" in fine.body
    assert (failed.status, failed.headers["grpc-status"]) == (200, "5")
    assert failed.headers["grpc-message"] == "as asked"


def test_connection_is_used_again_until_it_ends(system: tuple[Http2System, SystemSpec]) -> None:
    """Many copies need one connection, and one that the system closed is replaced."""
    before = len(system[0].peers)
    answers = _calls(system[1], *[_exchange("/")] * 5, _exchange("/goaway"), _exchange("/"))
    assert [answer.status for answer in answers] == [200] * 7
    assert len(system[0].peers) - before == 2


def test_answer_after_goodbye_is_an_answer(system: tuple[Http2System, SystemSpec]) -> None:
    """A system that ends a connection in good order answers what it has; the next one is new."""
    before = len(system[0].peers)
    answers = _calls(system[1], _exchange("/"), _exchange("/ending"), _exchange("/"))
    assert [(answer.status, answer.error) for answer in answers] == [(200, "")] * 3
    assert len(system[0].peers) - before == 2


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_bodies_of_any_size_go_and_come(
    system: tuple[Http2System, SystemSpec], size: int
) -> None:
    """Both windows are honoured."""
    sent, got = _calls(
        system[1], _exchange("/", method="POST", body=b"y" * size), _exchange(f"/size/{size}"),
        most=1 << 23)
    assert json.loads(sent.body)["size"] == size
    assert len(got.body) == size


def test_answer_that_is_too_large_ends_after_the_limit(
    system: tuple[Http2System, SystemSpec]
) -> None:
    """Its beginning is enough, and the next copy is answered."""
    large, small = _calls(system[1], _exchange("/size/5000000"), _exchange("/"), most=1000)
    assert len(large.body) <= 1001
    assert small.status == 200


@pytest.mark.parametrize(("path", "method", "status"), [
    ("/status/503", "GET", 503), ("/x", "HEAD", 200), ("/status/404", "DELETE", 404)])
def test_status_is_the_systems(
    system: tuple[Http2System, SystemSpec], path: str, method: str, status: int
) -> None:
    """Whatever it is, and without a body where there is none."""
    (answer,) = _calls(system[1], _exchange(path, method=method))
    assert answer.status == status and not answer.error


def test_stream_that_is_reset_is_no_answer(system: tuple[Http2System, SystemSpec]) -> None:
    """It is said as what it is, and the next copy is answered."""
    broken, fine = _calls(system[1], _exchange("/reset"), _exchange("/"))
    assert broken.error == "connection broke"
    assert fine.status == 200


def test_system_that_speaks_http1_is_no_answer() -> None:
    """Bytes that are not HTTP/2 end the call at once."""
    async def run() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            await writer.drain()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        caller = Caller(SystemSpec(name="n", url=f"http://127.0.0.1:{port}", protocol="http2"),
                        timeout=LONGEST_PAUSE, concurrency=1)
        try:
            return await caller.call(_exchange("/"))
        finally:
            await caller.close()
            server.close()

    assert asyncio.run(run()).error == "no valid answer"


def test_call_of_grpc_is_copied() -> None:
    """A server of gRPC answers a copy as it answers the call."""
    port = free_port()
    with GrpcSystem("new").serving(f"127.0.0.1:{port}"):
        spec = SystemSpec(name="new", url=f"http://127.0.0.1:{port}", protocol="http2")
        (answer,) = _calls(spec, _exchange(
            "/test.Shop/One", ("content-type", "application/grpc"), method="POST",
            body=b"\0\0\0\0\x02hi"))
    assert json.loads(answer.body[5:])["message"] == "hi"

"""What a system speaks is seen before a user is: real gRPC, HTTP/2, HTTP/1 and silent servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.exceptions
import pytest

from changeover.domain.routing import System
from changeover.gateway.probe import Found, Speaks, note, speaks
from changeover.plan.systems import SystemSpec
from tests.integration.test_bad_input import changeover, up
from tests.support.processes import ROOT, free_port
from tests.support.site import PLAN, QUICK

pytestmark = pytest.mark.integration
Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def grpc_server() -> Iterator[int]:
    """A real gRPC server."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def each(serve: Serve) -> Iterator[int]:
    """Have `serve` talk to every connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()
    listener.settimeout(0.05)

    def run() -> None:
        while not done.is_set():
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.settimeout(10)
                serve(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        thread.join()
        listener.close()


def _http2(connection: socket.socket) -> None:
    """Speak HTTP/2 and nothing else, as a library for it does."""
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    state.initiate_connection()
    with contextlib.suppress(h2.exceptions.ProtocolError):
        while data := connection.recv(65_536):
            state.receive_data(data)
            connection.sendall(state.data_to_send())
    connection.sendall(state.data_to_send())


def _over_tls(folder: Path, protocols: list[str], serve: Serve) -> Serve:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out",
         str(certificate), "-days", "2", "-subj", "/CN=localhost"],
        check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(protocols)

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            if "http/1.1" in protocols or tls.selected_alpn_protocol() == "h2":
                serve(tls)

    return secured


def _says(answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer)

    return serve


def _spec(port: int, scheme: str = "http") -> SystemSpec:
    return SystemSpec.model_validate({"name": "a", "url": f"{scheme}://127.0.0.1:{port}"})


def test_grpc_server_speaks_http2_only() -> None:
    """It is called what it is, in words that say what to do."""
    with grpc_server() as port:
        found = Found(System.BASELINE, "url", speaks(_spec(port)))
    assert found.is_unusable
    assert "`protocol: http2`" in str(note(found))


def test_system_that_should_speak_http2_and_does_not_is_said() -> None:
    """The other way round no call would work either."""
    with each(_says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as port:
        spec = _spec(port).model_copy(update={"protocol": "http2"})
        found = Found.of(System.BASELINE, spec)
    assert found.is_unusable
    assert "but not HTTP/2 as the plan says" in str(note(found))


@pytest.mark.parametrize(("serve", "expected"), [
    pytest.param(_http2, Speaks.HTTP2_ONLY, id="http2"),
    pytest.param(_says(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"), Speaks.HTTP1, id="500"),
    pytest.param(_says(b"HTTP/1.0 404 No\r\n\r\n"), Speaks.HTTP1, id="http-1.0"),
    pytest.param(_says(b"SSH-2.0-OpenSSH_9.2\r\n"), Speaks.OTHER, id="ssh"),
    pytest.param(_says(b"-ERR unknown command\r\n"), Speaks.OTHER, id="redis"),
    pytest.param(_says(b"\x15\x03\x03\x00\x02\x02\x46"), Speaks.OTHER, id="tls-on-plain"),
    pytest.param(lambda connection: None, Speaks.NOTHING, id="closes-at-once"),
])
def test_each_server_is_told_by_what_it_answers(serve: Serve, expected: Speaks) -> None:
    """HTTP/1 of any status will do; only a SETTINGS frame makes it HTTP/2."""
    with each(serve) as port:
        assert speaks(_spec(port)) is expected


def test_server_that_keeps_silent_is_not_judged() -> None:
    """A frozen or slow system is no HTTP/2 system."""
    done = threading.Event()

    def keep_silent(_: socket.socket) -> None:
        done.wait(10)

    with each(keep_silent) as port:
        assert speaks(_spec(port), longest=0.2) is Speaks.NOTHING
        done.set()


def test_system_that_is_down_is_not_judged() -> None:
    """Nobody listens: said as such."""
    found = Found(System.CANDIDATE, "url", speaks(_spec(free_port())))
    assert found.speaks is Speaks.NOTHING
    assert not found.is_unusable
    assert "does not answer now" in str(note(found))


@pytest.mark.parametrize(("protocols", "serve", "expected"), [
    (["h2"], _http2, Speaks.HTTP2_ONLY),
    (["h2", "http/1.1"], _says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Speaks.HTTP1),
], ids=["h2-only", "both"])
def test_tls_system_is_asked_as_the_gateway_asks(
    protocols: list[str], serve: Serve, expected: Speaks, tmp_path: Path
) -> None:
    """What it offers in the handshake decides."""
    with each(_over_tls(tmp_path, protocols, serve)) as port:
        assert speaks(_spec(port, "https")) is expected


@pytest.fixture
def grpc_plan(tmp_path: Path) -> Iterator[Path]:
    """A plan whose baseline is a gRPC server that runs already."""
    with grpc_server() as port:
        text = PLAN.format(root=ROOT, baseline=port, candidate=free_port(), listen=free_port())
        path = tmp_path / "site.yaml"
        path.write_text(text + QUICK)
        yield path


def test_plan_check_says_so_and_passes(grpc_plan: Path) -> None:
    """Systems are not the plan: it is fine, with a note for either system."""
    text = changeover("plan", "check", str(grpc_plan), code=0)
    assert "speaks HTTP/2 only" in text
    assert "candidate at" in text and "does not answer now" in text


def test_up_refuses_before_a_user_is_served(grpc_plan: Path, tmp_path: Path) -> None:
    """Exit code 4, the system, and what to do."""
    text = up(grpc_plan, tmp_path, "--console", f"127.0.0.1:{free_port()}", code=4)
    assert "speaks HTTP/2 only" in text
    assert "systems.baseline.protocol" in text

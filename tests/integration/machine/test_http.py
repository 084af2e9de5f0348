"""Every client trusts the authorities that the machine trusts, and asks past proxies."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks import SystemBlock
from changeover.checks.health import systems
from changeover.checks.openapi import documents
from changeover.domain.health import Status
from changeover.domain.messages import Severity
from changeover.errors import InvalidInput
from changeover.gateway import reaching
from changeover.machine.http import get, tls
from changeover.notify import channels
from changeover.observer.back_pressure import Probe
from changeover.plan.systems import SystemSpec
from changeover.procedures import baseline
from changeover.sdk.feed import ConsoleSource

DOCUMENT = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}


class _Answers(http.server.BaseHTTPRequestHandler):
    """A system, a webhook and a console in one: every address answers 200."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer()

    def _answer(self) -> None:
        body = json.dumps(DOCUMENT).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Yield the address of a TLS server and the file with its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key),
         "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def _spec(url: str) -> SystemSpec:
    return SystemSpec.model_validate({"name": "a", "url": url, "health_timeout": "5s"})


def _block(url: str) -> bool:
    block = SystemBlock(role="candidate", name="a", url=url, timeout_seconds=5)
    with block.get_client() as client:
        return client.get("/health").is_success


def _document(url: str) -> bool:
    try:
        return bool(documents.read(f"{url}/openapi.json"))
    except InvalidInput:
        return False


def _webhook(url: str) -> bool:
    channel = channels.Channel(url)
    return not channels.send(channel, title="t", body="", severity=Severity.INFO, facts={})


ASKING: dict[str, Callable[[str], bool]] = {
    "baseline": lambda url: baseline.answers_well(_spec(url)),
    "health check": lambda url: systems.answers(_spec(url), "baseline").status is Status.HEALTHY,
    "back-pressure": lambda url: Probe(_spec(url), "/health", 5).ask()[1],
    "openapi": _document,
    "webhook": _webhook,
    "block": _block,
}


@pytest.fixture
def fresh_settings() -> Iterator[None]:
    """Have the TLS settings read from the environment of this test."""
    tls.cache_clear()
    yield
    tls.cache_clear()


@pytest.mark.usefixtures("fresh_settings")
@pytest.mark.parametrize("who", ASKING)
def test_authority_of_ssl_cert_file_is_trusted(
    who: str, certified: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's own authority is named once, for all clients."""
    url, authority = certified
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert ASKING[who](url)


@pytest.mark.usefixtures("fresh_settings")
@pytest.mark.parametrize("who", [name for name in ASKING if name != "block"])
def test_unknown_authority_is_not_trusted(who: str, certified: tuple[str, Path]) -> None:
    """Nobody asks a system without knowing that it is the one."""
    assert not ASKING[who](certified[0])


@pytest.mark.usefixtures("fresh_settings")
def test_block_does_not_trust_an_unknown_authority(certified: tuple[str, Path]) -> None:
    """Its client raises, as every httpx client does."""
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        _block(certified[0])


@pytest.mark.usefixtures("fresh_settings")
def test_flags_of_a_console_with_an_own_authority(
    certified: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK gets an answer from it: this one is no snapshot."""
    url, authority = certified
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    source: Any = ConsoleSource(url)
    try:
        assert source._client.get(url).is_success
    finally:
        source.close()


def test_systems_are_asked_past_the_proxy(
    certified: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment that nobody reaches changes nothing."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certified[1]))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    tls.cache_clear()
    assert get(f"{certified[0]}/health", timeout=5).is_success
    tls.cache_clear()


@pytest.mark.parametrize("url", ["http://a:1", "http://a:1/"])
def test_health_address_has_one_slash(url: str) -> None:
    """However the plan ends the system's address."""
    assert reaching.health_address(_spec(url)) == "http://a:1/health"

"""The PROXY protocol, and limits of what users send."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover.gateway.accesslog import Entry, refusal
from changeover.gateway.tailer import Tailer
from tests.integration.conftest import Bench
from tests.integration.gateway.reached import ask, plan_of, serving
from tests.support.certificates import Authority
from tests.support.http1_system import Http1System
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration


@contextmanager
def _bench(folder: Path, **routing: Any) -> Iterator[tuple[Bench, Http1System]]:
    port, system = free_port(), Http1System("candidate")
    plan = plan_of({"url": f"http://127.0.0.1:{free_port()}"},
                   {"url": f"http://127.0.0.1:{port}"}, routing=routing)
    with system.serving(port), serving(plan, folder) as bench:
        yield bench, system


def _through_proxy(bench: Bench, header: bytes, authority: Authority | None = None) -> Any:
    """Ask as a balancer of layer 4 forwards a user's connection; return what the system got."""
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), LONGEST_PAUSE)
    connection.sendall(header)
    if authority is not None:
        context = ssl.create_default_context(cafile=str(authority.ca))
        connection = context.wrap_socket(connection, server_hostname="shop.example")
    with connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n"
                           b"x-forwarded-for: 192.0.2.66\r\n\r\n")
        received = b""
        while part := connection.recv(65_536):
            received += part
    return json.loads(received[received.index(b"{"):received.rindex(b"}") + 1])


V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 5555 443\r\n"
V2 = (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton("203.0.113.9")
      + socket.inet_aton("198.51.100.1") + b"\x15\xb3\x01\xbb")


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("header", [V1, V2], ids=["version 1", "version 2"])
def test_systems_see_the_user_whom_the_balancer_names(
    tmp_path: Path, header: bytes, with_tls: bool
) -> None:
    """What the user says of other addresses is not believed; our own requests need no header."""
    authority, routing = Authority(tmp_path), {}
    if with_tls:
        certificate, key = authority.issue("gateway", "shop.example")
        routing = {"tls": {"certificate": str(certificate), "key": str(key)}}
    with _bench(tmp_path, proxy_protocol=True, **routing) as (bench, _):
        got = _through_proxy(bench, header, authority if with_tls else None)
        assert got["headers"]["x-forwarded-for"] == "203.0.113.9"
        assert got["headers"]["x-forwarded-proto"] == ("https" if with_tls else "http")
        if not with_tls:
            assert ask(bench).is_success


def test_without_the_key_the_protocol_is_no_http(tmp_path: Path) -> None:
    """Who does not expect it must not believe it: 400, or a connection that is ended."""
    with _bench(tmp_path) as (bench, system), pytest.raises((ValueError, OSError)):
        _through_proxy(bench, V1)
    assert all("203.0.113.9" not in str(each) for each in system.requests)


def test_what_is_too_large_is_refused_before_a_system_sees_it(tmp_path: Path) -> None:
    """413 and 431, counted as refused by the gateway; what is as large as allowed passes."""
    limits = {"headers": "16kB", "body": "1kB"}
    with _bench(tmp_path, limits=limits) as (bench, system):
        with httpx.Client(timeout=LONGEST_PAUSE, base_url=bench.url) as user:
            assert user.post("/fits", content=b"x" * 1000).json()["size"] == 1000
            assert user.post("/large", content=b"x" * 1001).status_code == 413
            assert user.get("/fits", headers={"x-large": "x" * 15_000}).is_success
            assert user.get("/large", headers={"x-large": "x" * 17_000}).status_code == 431
        assert "/large" not in {each["path"] for each in system.requests}
        found: list[Entry] = []
        tailer = Tailer(bench.gateway.files.access_log, {})
        wait_for(lambda: bool(found.extend(tailer.read()) or
                              sum(refusal(each) is not None for each in found) == 2),
                 what="two refusals in the log")

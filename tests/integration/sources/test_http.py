"""A real HTTP service: what it says, and every way in which it does not."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from changeover.domain.readings import Reading
from tests.support.external import asked
from tests.support.processes import free_port

pytestmark = pytest.mark.integration

TOKEN = "s3cret-token"
GOOD = {"data": [{"failed": "0.25", "n": 40, "at": "2026-01-01T00:00:00Z"}]}
VALUE = "$.data[0].failed"


class Service(ThreadingHTTPServer):
    """Answers by path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        self.left_to_fail = 0
        super().__init__(("127.0.0.1", 0), _Answers)


class _Answers(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        with suppress(OSError):  # the other side gave up
            getattr(self, f"_{self.path.partition('?')[0].strip('/')}", self._good)()

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _good(self) -> None:
        self._send(json.dumps(GOOD).encode())

    def _page(self) -> None:
        self._send(b"<html>")

    def _refused(self) -> None:
        self._send(self.headers["authorization"].encode(), 403)

    def _elsewhere(self) -> None:
        self._send(b"", 302, location="http://127.0.0.1:1/")

    def _large(self) -> None:
        self._send(b" " * (2 << 20))

    def _packed(self) -> None:
        self._send(gzip.compress(json.dumps(GOOD).encode()), content_encoding="gzip")

    def _silent(self) -> None:
        self.server.released.wait(60)

    def _dripping(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.released.wait(0.1):
            self.wfile.write(b" ")

    def _broken(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"{")

    def _failing(self) -> None:
        self.server.left_to_fail -= 1
        if self.server.left_to_fail >= 0:
            self._send(b"", 503)
        else:
            self._good()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Asking:
    """The service and how to ask it."""

    service: Service
    folder: Path
    source: dict[str, Any] = field(default_factory=dict)

    def ask(self, path: str, source: dict[str, Any] | None = None, **metric: Any) -> Reading:
        whole = {"kind": "json", "url": f"http://127.0.0.1:{self.service.server_port}",
                 "auth": {"bearer": "SHOP_TOKEN"}, "timeout": "30s", **(source or {})}
        return asked(whole, {"path": path, "value": VALUE, **metric}, self.folder)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    """A service that answers."""
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    monkeypatch.setenv("SHOP_LOGIN", "user:päss:word")
    server = Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Asking(server, tmp_path)
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_number_is_read_from_its_place(shop: Asking) -> None:
    """With the token, and with values that stay within their places in the address."""
    found = shop.ask("/good?s={system}&w={window}&m={migration}",
                     {"names": {"candidate": "a&b=1 #?"}}, samples="$.data[0].n")
    assert (found.value, found.samples, found.problem) == (0.25, 40, "")
    path, headers = shop.service.asked[0]
    assert path == "/good?s=a%26b%3D1%20%23%3F&w=60&m=moving"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert found.query == f"GET {path} {VALUE}"


@pytest.mark.parametrize(("auth", "name", "sent"), [
    ({"basic": "SHOP_LOGIN"}, "authorization", "Basic dXNlcjpww6Rzczp3b3Jk"),
    ({"headers": {"x-api-key": "SHOP_TOKEN"}}, "x-api-key", TOKEN)])
def test_every_way_to_authenticate_is_sent(
    shop: Asking, auth: dict[str, Any], name: str, sent: str
) -> None:
    """By the variables' present values."""
    assert shop.ask("/good", {"auth": auth}).value == 0.25
    assert shop.service.asked[0][1][name] == sent


@pytest.mark.parametrize(("path", "said"), [
    ("/page", "its answer is not JSON"), ("/refused", "it answered 403"),
    ("/elsewhere", "it answered 302"), ("/large", "larger than 1 MiB"),
    ("/packed", "compressed"), ("/broken", "the answer broke off"),
])
def test_an_answer_that_cannot_be_used_is_no_value(shop: Asking, path: str, said: str) -> None:
    """No redirect is followed: the token stays here; an answer that repeats it is not shown."""
    found = shop.ask(path)
    assert said in found.problem
    assert found.value is None
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(("value", "said"), [
    ("$.data[7].failed", "there is no $.data[7].failed"), ("$.data", "is no number: [{"),
    ("$.data[0].name", "there is no $.data[0].name")])
def test_a_place_without_a_number_is_no_value(shop: Asking, value: str, said: str) -> None:
    """The reason names the place."""
    assert said in shop.ask("/good", value=value).problem


def test_an_old_value_is_no_value(shop: Asking) -> None:
    """By the service's own word."""
    assert "stale" in shop.ask("/good", at="$.data[0].at").problem


@pytest.mark.parametrize("path", ["/silent", "/dripping"])
def test_a_slow_service_is_given_up(shop: Asking, path: str) -> None:
    """Also one that sends a byte now and then, for ever."""
    found = shop.ask(path, {"timeout": "1s", "retries": 0})
    assert found.problem == "no answer within 1 s"


def test_what_fails_once_is_asked_again(shop: Asking) -> None:
    """As often as the plan says; what is refused is not."""
    shop.service.left_to_fail = 2
    assert shop.ask("/failing", {"retries": 2}).value == 0.25
    assert len(shop.service.asked) == 3
    shop.service.left_to_fail = 2
    assert shop.ask("/failing", {"retries": 1}).problem == "it answered 503"
    shop.service.asked.clear()
    shop.ask("/refused", {"retries": 3})
    assert len(shop.service.asked) == 1


def test_a_service_that_is_down_is_no_value(tmp_path: Path) -> None:
    """The reason is the system's."""
    source = {"kind": "json", "url": f"http://127.0.0.1:{free_port()}", "retries": 0}
    found = asked(source, {"path": "/", "value": "$.a"}, tmp_path)
    assert "no connection: " in found.problem


def test_a_missing_token_is_named(shop: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable's name; one with a line break is not sent."""
    monkeypatch.setenv("SHOP_TOKEN", f"{TOKEN}\nx: y")
    found = shop.ask("/good")
    assert found.problem == "the variable SHOP_TOKEN has characters that cannot be sent"
    monkeypatch.delenv("SHOP_TOKEN")
    assert "variable SHOP_TOKEN is not set" in shop.ask("/good").problem
    assert shop.service.asked == []

"""Who may connect to a node's small servers, and that no place is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest

from changeover.node import answering
from changeover.node.answering import (
    MOST_AT_ONCE,
    MOST_OF_LOOPBACK,
    MOST_OF_ONE,
    Answers,
    Server,
    Slots,
    serve,
)
from tests.support.processes import free_port, wait_for


class Yes(Answers):
    """Answers everybody."""

    def do_GET(self) -> None:  # noqa: N802  the name is that of http.server
        self.answer(200, {})


@pytest.fixture
def server() -> Iterator[Server]:
    found = serve(("127.0.0.1", free_port()), Yes, what="test", option="--test")
    with closing(found):
        yield found


def ask(server: Server) -> int:
    host, port = server.server_address[:2]
    return httpx.get(f"http://{host!s}:{port}/", trust_env=False, timeout=20).status_code


def is_empty(server: Server) -> bool:
    return not server._slots._open


def test_one_address_leaves_places_to_others() -> None:
    """A proxy on this machine has more, and all together have a limit."""
    slots = Slots()
    assert [slots.take("10.0.0.1") for _ in range(MOST_OF_ONE)] == [True] * MOST_OF_ONE
    assert slots.take("10.0.0.1") is False
    assert slots.take("::ffff:10.0.0.1") is False
    # everybody has a whole network of IPv6
    assert sum(slots.take(f"fd00::{number}") for number in range(1, 20)) == MOST_OF_ONE
    assert sum(slots.take("127.0.0.1") for _ in range(99)) == MOST_OF_LOOPBACK
    taken = 2 * MOST_OF_ONE + MOST_OF_LOOPBACK
    assert sum(slots.take(f"10.0.1.{number}") for number in range(99)) == MOST_AT_ONCE - taken
    assert not slots.take("10.0.0.2")
    slots.give_back("10.0.0.1")
    assert slots.take("10.0.0.2")


def test_no_place_is_lost_when_no_thread_can_be_started(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for a connection nor for what ends it."""
    def none_left(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    for place in (threading.Timer, threading.Thread):
        with monkeypatch.context() as patched:
            patched.setattr(place, "start", none_left)
            with pytest.raises(httpx.HTTPError):
                ask(server)
        wait_for(lambda: is_empty(server), what="its place is free")
    assert ask(server) == 200


def test_who_is_silent_is_left_and_others_are_answered(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places are taken by some that say nothing, or never end what they say."""
    monkeypatch.setattr(answering, "HEAD_SECONDS", 0.3)
    with ExitStack() as stack:
        for number in range(MOST_OF_LOOPBACK):
            silent = stack.enter_context(socket.create_connection(server.server_address[:2]))
            if number % 2:
                silent.sendall(b"GET / HTTP/1.1\r\nx: ")
        wait_for(lambda: is_empty(server), what="they are left")
        assert ask(server) == 200

"""How often a node asks the store: seldom only while a change would be heard of."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from changeover.node.card import Card
from changeover.node.following import HEARING_SECONDS, POLL_SECONDS, Following
from changeover.node.session import Session
from changeover.observer.throttle import LogOnce
from changeover.store.gateway_nodes import Identity


def following(*, waiting: bool = False, **known: Any) -> Following:
    """Return that of a node which serves what is wanted, but for what is said."""
    moves: Any = SimpleNamespace(waiting=lambda: ["a move"] if waiting else [])
    site: Any = None
    card = Card(Identity("shop", "edge-1", "home", "10.0.0.1:8100"))
    card.is_serving, card.served, card.wanted = True, (0, 7), (0, 7)
    card._said = time.monotonic() + 3_600
    for name, value in known.items():
        setattr(card, name, value)
    return Following(site, card, moves, LogOnce())


def test_a_node_that_hears_and_serves_the_newest_asks_once_a_second() -> None:
    """And ten times a second as soon as no word arrives any more."""
    assert following().pause(is_heard=True) == HEARING_SECONDS
    assert following().pause(is_heard=False) == POLL_SECONDS


@pytest.mark.parametrize("known", [
    {"served": (0, 6)}, {"served": None}, {"is_serving": False}, {"problem": "refused"},
    {"waiting": True}, {"_heard": 0.0, "_said": float("-inf")}, {"_said": time.monotonic() - 1.2},
], ids=["behind", "at its start", "without Envoy", "not published", "a move untold", "cut off",
        "a sign of life due"])
def test_a_node_with_something_to_do_asks_as_often_as_without_words(known: Any) -> None:
    """What it waits for comes without a word, or came before."""
    assert following(**known).pause(is_heard=True) == POLL_SECONDS


class LateWord(threading.Event):
    """A word that comes just after a wait ended without one; the next wait ends the session."""

    def __init__(self, is_over: threading.Event) -> None:
        super().__init__()
        self._is_over, self._waits = is_over, 0
        self.was_found = False

    def wait(self, timeout: float | None = None) -> bool:
        self._waits += 1
        if self._waits == 1:
            self.set()
            return False
        self.was_found = self.is_set()
        self._is_over.set()
        return self.was_found


def test_a_word_that_comes_between_two_waits_is_not_lost() -> None:
    """It would be served up to a second later."""
    session: Any = Session.__new__(Session)
    session._is_over = threading.Event()
    session._is_news = word = LateWord(session._is_over)
    session._following = SimpleNamespace(pause=lambda is_heard: HEARING_SECONDS)
    session._listening = SimpleNamespace(is_heard=True)
    session._follow()
    assert word.was_found

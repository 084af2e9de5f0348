"""How often a node asks the store: seldom only while a change would be heard of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from changeover.node.card import Card
from changeover.node.following import HEARING_SECONDS, POLL_SECONDS, Following
from changeover.observer.throttle import LogOnce
from changeover.store.gateway_nodes import Identity


def following(*, waiting: bool = False, **known: Any) -> Following:
    """Return that of a node which serves what is wanted, but for what is said."""
    moves: Any = SimpleNamespace(waiting=lambda: ["a move"] if waiting else [])
    site: Any = None
    card = Card(Identity("shop", "edge-1", "home", "10.0.0.1:8100"))
    card.is_serving, card.served, card.wanted = True, (0, 7), (0, 7)
    for name, value in known.items():
        setattr(card, name, value)
    return Following(site, card, moves, LogOnce())


def test_a_node_that_hears_and_serves_the_newest_asks_once_a_second() -> None:
    """And ten times a second as soon as no word arrives any more."""
    assert following().pause(is_heard=True) == HEARING_SECONDS
    assert following().pause(is_heard=False) == POLL_SECONDS


@pytest.mark.parametrize("known", [
    {"served": (0, 6)}, {"served": None}, {"is_serving": False}, {"problem": "refused"},
    {"waiting": True}, {"_heard": 0.0},
], ids=["behind", "at its start", "without Envoy", "not published", "a move untold", "cut off"])
def test_a_node_with_something_to_do_asks_as_often_as_without_words(known: Any) -> None:
    """What it waits for comes without a word, or came before."""
    assert following(**known).pause(is_heard=True) == POLL_SECONDS

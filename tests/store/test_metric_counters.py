"""Counters of `/metrics` count everything once, also what is stored late."""

from __future__ import annotations

from datetime import timedelta

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.console.exposition.counters import Counters
from changeover.store.compared_sums import add_compared_in
from changeover.store.engine import Store

FIRST = 1_700_002_800
BEGAN = clock.from_timestamp(FIRST)


def compared(store: Store, at: int, *, is_match: bool, gateway: str = MAIN_GATEWAY) -> None:
    """Store a comparison of a request of a second."""
    with store.begin() as session:
        add_compared_in(session, "shop", [(at, is_match, 1.0)], gateway=gateway)


def test_comparison_of_a_slow_answer_is_counted_once(store: Store) -> None:
    """It is stored in the second of its request, which was counted long ago by then."""
    counters = Counters(store, "shop", BEGAN)
    compared(store, FIRST + 1, is_match=True)
    counters.count(BEGAN + timedelta(seconds=10))
    assert counters.compared == {"match": 1, "divergence": 0}
    compared(store, FIRST + 1, is_match=False)
    for seconds in (30, 31, 50, 200, 201):
        counters.count(BEGAN + timedelta(seconds=seconds))
        assert counters.compared == {"match": 1, "divergence": 1}


def test_comparisons_between_rare_scrapes_are_counted(store: Store) -> None:
    """Also when nobody asked for ten minutes, and when the clock is set back."""
    counters = Counters(store, "shop", BEGAN)
    for minute in range(10):
        compared(store, FIRST + 60 * minute, is_match=True)
    for minutes in (11, 9, 12):
        counters.count(BEGAN + timedelta(minutes=minutes))
        assert counters.compared["match"] == 10


def test_comparisons_of_all_gateways_of_a_second_are_counted_once(store: Store) -> None:
    """Nodes compare in the same seconds, and the later ones know theirs later."""
    counters = Counters(store, "shop", BEGAN)
    for gateway, times in (("edge-1", 3), ("edge-2", 1)):
        for _ in range(times):
            compared(store, FIRST + 1, is_match=True, gateway=gateway)
    counters.count(BEGAN + timedelta(seconds=10))
    assert counters.compared == {"match": 4, "divergence": 0}
    compared(store, FIRST + 1, is_match=False, gateway="edge-3")
    for seconds in (20, 30):
        counters.count(BEGAN + timedelta(seconds=seconds))
        assert counters.compared == {"match": 4, "divergence": 1}

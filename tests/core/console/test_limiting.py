"""Wrong sign-ins: some at once, then one every few seconds, counted for each address apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from changeover.console import limiting
from changeover.console.limiting import MOST_AT_ONCE, SECONDS_EACH, Attempts


def used_up(attempts: Attempts, address: str, at: float = 0.0) -> None:
    for _ in range(MOST_AT_ONCE):
        assert attempts.wait(address, at) == 0
        attempts.count(address, at)


def test_after_some_wrong_ones_an_address_waits_and_others_do_not() -> None:
    """Who is wrong too often waits seconds, not minutes."""
    attempts = Attempts()
    used_up(attempts, "192.0.2.1")
    assert 0 < attempts.wait("192.0.2.1", 0.0) <= SECONDS_EACH
    assert attempts.wait("192.0.2.2", 0.0) == 0
    assert attempts.wait("192.0.2.1", SECONDS_EACH) == 0


def test_a_network_of_ipv6_is_one_address() -> None:
    """Everybody has a whole one: a new address for each attempt gains nothing."""
    attempts = Attempts()
    for number in range(MOST_AT_ONCE):
        attempts.count(f"2001:db8::{number:x}", 0.0)
    assert attempts.wait("2001:db8::ffff", 0.0) > 0
    assert attempts.wait("2001:db8:0:1::1", 0.0) == 0


def test_an_address_of_ipv4_is_itself_also_at_a_socket_for_both_versions() -> None:
    """One stranger does not make all of IPv4 wait."""
    attempts = Attempts()
    used_up(attempts, "::ffff:192.0.2.1")
    assert attempts.wait("192.0.2.1", 0.0) > 0
    assert attempts.wait("::ffff:192.0.2.2", 0.0) == 0


@given(st.lists(st.floats(0, 600), min_size=1, max_size=200))
def test_nobody_gets_more_than_the_bucket_gives(pauses: list[float]) -> None:
    """Over any time: the first ones at once, and one more for each step of time."""
    attempts, at, taken = Attempts(), 0.0, 0
    for pause in pauses:
        at += pause
        if attempts.wait("a", at) == 0:
            attempts.count("a", at)
            taken += 1
    assert taken <= MOST_AT_ONCE + at / SECONDS_EACH + 1


def test_addresses_without_end_take_no_memory_without_end() -> None:
    """The one that was quiet for the longest is forgotten first."""
    attempts = Attempts()
    used_up(attempts, "old")
    for number in range(limiting.MOST_KNOWN):
        attempts.count(f"a{number}", 1.0)
    assert len(attempts._buckets) == limiting.MOST_KNOWN
    assert attempts.wait("old", 1.0) == 0

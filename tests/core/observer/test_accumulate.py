"""Requests become samples: every one counted once, in the second of its end."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.window import GATEWAY, SPLIT, Sample, combine, fewest
from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry
from changeover.observer.accumulate import KEEP_SECONDS, Accumulator, user_number


def entry(end: float, status: int = 200, key: str = "ann") -> Entry:
    """Return a request that the candidate answered."""
    return Entry(end, 1500, status, frozenset(), "candidate:10000:safe", key,
                 System.CANDIDATE, 1)


def stored(accumulator: Accumulator, before: int, rows: dict[tuple[str, int], Sample]) -> None:
    """Write samples as the store does: a later one of a second replaces the earlier one."""
    for sample in accumulator.pop_changed(before):
        rows[sample.system, sample.at] = sample


@given(st.lists(st.integers(1000, 1400), max_size=60), st.integers(1, 7))
def test_every_request_is_in_exactly_one_sample(ends: list[int], at_once: int) -> None:
    """However requests arrive and samples are taken, the samples add up to the requests."""
    accumulator, rows = Accumulator(first=0), {}
    for start in range(0, len(ends), at_once):
        part = ends[start : start + at_once]
        for end in part:
            accumulator.add(entry(end + 0.5))
        stored(accumulator, max(ends[: start + at_once]) + 1, rows)
    for system in ("candidate", GATEWAY):
        assert sum(row.requests for row in rows.values() if row.system == system) == len(ends)


def test_requests_without_a_key_are_counted() -> None:
    """Of all requests that were meant for the system; an empty key is none."""
    accumulator, rows = Accumulator(first=0), {}
    for key in ("ann", "", None, "bob"):
        accumulator.add(entry(1000.2, key=key))  # type: ignore[arg-type]
    stored(accumulator, 1001, rows)
    found = rows["candidate", 1000]
    assert (found.keyless, found.requests) == (2, 4)


def test_late_line_is_added_to_its_second() -> None:
    """A line that arrives after its second was handed out is handed out with it again."""
    accumulator, rows = Accumulator(first=0), {}
    accumulator.add(entry(1000.2))
    stored(accumulator, 1001, rows)
    accumulator.add(entry(1000.9))
    stored(accumulator, 1003, rows)
    assert rows["candidate", 1000].requests == 2


def test_line_later_than_the_memory_does_not_replace_what_was_stored() -> None:
    """A line that comes minutes late is counted in the oldest second still in memory."""
    accumulator, rows = Accumulator(first=0), {}
    for _ in range(5):
        accumulator.add(entry(1000.2))
    stored(accumulator, 1001, rows)
    stored(accumulator, 1001 + 2 * KEEP_SECONDS, rows)
    accumulator.add(entry(1000.9))
    stored(accumulator, 1003 + 2 * KEEP_SECONDS, rows)
    assert rows["candidate", 1000].requests == 5
    assert sum(row.requests for row in rows.values() if row.system == "candidate") == 6


def test_requests_of_seconds_stored_before_a_restart_are_not_counted_again() -> None:
    """Reading some of the log again adds nothing to seconds before the kept position."""
    accumulator = Accumulator(first=1005)
    for second in range(1000, 1010):
        accumulator.add(entry(second + 0.5))
    taken = accumulator.pop_changed(1010)
    for system in ("candidate", GATEWAY):
        assert sum(sample.requests for sample in taken if sample.system == system) == 5
    assert min(sample.at for sample in taken) == 1005


def test_restart_keeps_the_probes_of_seconds_that_are_counted_anew() -> None:
    """Probes cannot be read from the log again; they come from what was stored."""
    accumulator = Accumulator(first=1000)
    accumulator.restore([Sample("candidate", 1000, requests=7, probes=1, probes_up=1)])
    accumulator.add(entry(1000.5))
    (sample,) = [s for s in accumulator.pop_changed(1001) if s.system == "candidate"]
    assert (sample.requests, sample.probes, sample.probes_up) == (1, 1, 1)


def test_quiet_seconds_are_samples_of_zero() -> None:
    """A second without requests is known to have none, for both systems."""
    accumulator = Accumulator(first=0)
    accumulator.add(entry(1000.5))
    accumulator.pop_changed(1001)
    quiet = accumulator.pop_changed(1003)
    assert {(s.system, s.at, s.requests) for s in quiet if s.at > 1000} == {
        (system, at, 0) for system in ("baseline", "candidate") for at in (1001, 1002)
    }


def test_only_the_first_error_of_a_user_is_kept() -> None:
    """The user is the statistical unit: a thousand errors of one user are one."""
    accumulator = Accumulator(first=0)
    for second in (1000.5, 1001.5, 1002.5):
        accumulator.add(entry(second, status=500))
    accumulator.add(entry(1003.5, status=500, key="bob"))
    errors = accumulator.pop_user_errors()
    assert sorted(at.timestamp() for at in errors.values()) == [1000.5, 1003.5]
    assert accumulator.pop_user_errors() == {}


def one_second(*entries: Entry) -> Sample:
    """Return the candidate's second 1000 with these requests."""
    accumulator = Accumulator(first=0)
    for each in entries:
        accumulator.add(each)
    return next(sample for sample in accumulator.pop_changed(1001)
                if (sample.system, sample.at) == ("candidate", 1000))


def test_answers_are_counted_by_their_kind() -> None:
    """Client errors, redirects, empty answers and bytes stand in the second's sample."""
    found = one_second(
        entry(1000.1, 404), entry(1000.2, 302), entry(1000.3, 304),
        replace(entry(1000.4), body_bytes=0), replace(entry(1000.5), body_bytes=300),
        replace(entry(1000.6), body_bytes=500, method="POST"))
    assert (found.client_errors, found.redirects, found.answers, found.empty_answers,
            found.answer_bytes, found.watched) == (1, 1, 2, 1, 300, 1)
    assert found.answer_logs == pytest.approx(math.log(301))


def test_users_are_remembered_by_what_they_met() -> None:
    """A user counts once however often they met it; one whom the split moved is marked."""
    found = one_second(
        *(entry(1000.1, 404, key="ann") for _ in range(9)),
        replace(entry(1000.2, 404, key="bob"), route="split:10000:safe"), entry(1000.3, key="cat"))
    assert {kind: len(users) for kind, users in found.users.items()} == {
        "answer": 3, "client_error": 2}
    assert [user & SPLIT for user in found.users["client_error"]].count(SPLIT) == 1


@given(st.sets(st.text(max_size=9), max_size=300), st.integers(1, 9))
def test_users_of_all_seconds_are_a_random_choice_among_all(keys: set[str], parts: int) -> None:
    """Whatever second they came in, the users with the smallest numbers of all are remembered."""
    numbers = [user_number(key, is_split=True) for key in sorted(keys)]
    seconds = [Sample("candidate", at, users={"answer": fewest(numbers[at::parts])})
               for at in range(parts)]
    assert combine(seconds, seconds=parts).users["answer"] == fewest(numbers)


def test_seconds_are_listened_to_while_the_console_was_known_to_live() -> None:
    """A second after the console's last sign of life says nothing about outcomes."""
    accumulator = Accumulator(first=0)
    accumulator.listening_until = 1001
    for at in (1000, 1001):
        accumulator.add(entry(at + 0.5))
    found = {sample.at: sample.listened for sample in accumulator.pop_changed(1002)
             if sample.system == "candidate"}
    assert found == {1000: 1, 1001: 0}


def test_gateway_counts_everything_that_arrived_and_what_it_refused() -> None:
    """A refused request belongs to no system; it stands beside all others at the gateway."""
    accumulator = Accumulator(first=0)
    for _ in range(3):
        accumulator.add(entry(1000.5))
    accumulator.add(replace(entry(1000.7, 400), route="", served_by=None, details="not_http"))
    found = {sample.system: sample for sample in accumulator.pop_changed(1001)}
    assert (found[GATEWAY].requests, found[GATEWAY].errors) == (4, {"not_http": 1})
    assert (found["candidate"].requests, found["candidate"].errors) == (3, {})


def test_gateway_has_no_sample_of_a_second_in_which_nothing_arrived() -> None:
    """An idle site writes no more than before."""
    accumulator = Accumulator(first=0)
    accumulator.add_probe("baseline", 1000, is_up=True)
    assert GATEWAY not in {sample.system for sample in accumulator.pop_changed(1001)}

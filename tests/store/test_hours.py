"""Hours are the sums of their minutes, and nobody sees a difference but in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import MAIN_GATEWAY, SHADOW, Sample, Window
from changeover.plan.procedures import RetentionSpec
from changeover.store import compared_sums, hours, outages, pruning, samples
from changeover.store.covering import HOUR, MINUTE
from changeover.store.engine import Store
from changeover.store.samples import SampleRow

FIRST = 1_700_002_800
"""The start of an hour."""
START = clock.from_timestamp(FIRST)
END = START + timedelta(hours=3)
LATER = END + timedelta(hours=1)


def minutes(system: str, gateway: str = MAIN_GATEWAY) -> Iterator[Sample]:
    """Yield three hours of a system, every minute another."""
    for number in range(180):
        yield Sample(
            system, FIRST + MINUTE * number, MINUTE, gateway, requests=number,
            errors={"reset": number % 7}, user_errors=number % 7,
            latency=Histogram.of([1000 + number] * 3), probes=60, probes_up=59,
            memory_bytes=10_000 + number, cpu_cores=0.5)


def window(store: Store, system: str = "candidate") -> Window:
    """Return what was measured in the three hours, but for their first and last minutes."""
    return samples.window(
        store, "invoices", system, start=START + timedelta(minutes=7),
        end=END - timedelta(minutes=3))


def rows(store: Store, resolution: int) -> int:
    """Return how many rows there are."""
    query = select(func.count()).where(SampleRow.resolution == resolution)
    with store.read() as session:
        return int(session.scalar(query) or 0)


def test_window_over_hours_says_what_its_minutes_say(store: Store) -> None:
    """Counts, latencies, memory and how many seconds were watched are the same."""
    for gateway in (MAIN_GATEWAY, "second"):
        samples.write(store, "invoices", list(minutes("candidate", gateway)))
    before = window(store)
    assert hours.rollup(store, "invoices", now=LATER) == 3
    assert rows(store, HOUR) == 6
    assert window(store) == before
    assert hours.rollup(store, "invoices", now=LATER) == 0


def test_hour_of_gateways_that_followed_each_other_was_watched_throughout(store: Store) -> None:
    """Else there would be twice as many requests per second as there were."""
    found = [replace(each, memory_bytes=None, cpu_cores=None) for each in minutes("candidate")]
    samples.write(store, "invoices", [
        *found[:90], *(replace(each, gateway="second") for each in found[90:])])
    before = window(store)
    assert hours.rollup(store, "invoices", now=LATER) == 3
    assert window(store) == before


def test_hour_that_has_not_ended_for_a_while_stays_in_minutes(store: Store) -> None:
    """What arrives late is still added to minutes before their hour is summed up."""
    samples.write(store, "invoices", list(minutes("candidate")))
    assert hours.rollup(store, "invoices", now=END + timedelta(minutes=5)) == 2


def test_hour_whose_processes_were_looked_at_in_part_stays_in_minutes(store: Store) -> None:
    """Memory of ten minutes never counts as memory of an hour, whatever gateway saw it."""
    whole = list(minutes("candidate"))
    halved = [replace(each, gateway="second") for each in whole]
    halved[90] = replace(halved[90], memory_bytes=None, cpu_cores=None)
    samples.write(store, "invoices", whole + halved)
    before = window(store)
    hours.rollup(store, "invoices", now=LATER)
    assert rows(store, HOUR) == 4
    assert window(store) == before


def test_comparison_that_is_known_late_is_in_its_hour(store: Store) -> None:
    """A window over hours counts comparisons that came after they were summed up."""
    samples.write(store, "invoices", [
        *minutes("candidate"),
        Sample(SHADOW, FIRST, MINUTE, compared=5, matched=4, similarity=4.5)])
    hours.rollup(store, "invoices", now=LATER)
    late = [(FIRST + HOUR + 61, True, 1.0), (FIRST + 3, False, 0.5)]
    with store.begin() as session:
        compared_sums.add_compared_in(session, "invoices", late)
    found = samples.window(store, "invoices", "candidate", start=START, end=END)
    assert (found.compared, found.matched, found.similarity) == (7, 5, 6.0)


def test_hours_go_with_their_minutes(store: Store) -> None:
    """No hour is kept of which no minute is left, and none goes that still has some."""
    samples.write(store, "invoices", list(minutes("candidate")))
    hours.rollup(store, "invoices", now=LATER)
    kept = RetentionSpec(seconds=timedelta(0), minutes=timedelta(hours=2, minutes=30))
    pruning.prune(store, "invoices", kept, now=LATER)
    assert (rows(store, MINUTE), rows(store, HOUR)) == (90, 2)


def test_a_store_without_hours_is_brought_up_to_date_bit_by_bit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call sums up few hours, so that nothing else waits for long."""
    samples.write(store, "invoices", list(minutes("candidate")))
    monkeypatch.setattr(hours, "AT_ONCE", 2)
    assert [hours.rollup(store, "invoices", now=LATER) for _ in range(3)] == [2, 1, 0]


def test_failing_minutes_are_counted_over_both_systems(store: Store) -> None:
    """A minute is down when no request of either system was answered well."""
    def minute(system: str, number: int, requests: int, errors: int) -> Sample:
        return Sample(system, FIRST + MINUTE * number, MINUTE, requests=requests,
                      user_errors=errors)

    samples.write(store, "invoices", [
        minute("baseline", 0, 9, 9), minute("candidate", 0, 3, 3),
        minute("baseline", 1, 9, 9), minute("candidate", 1, 3, 0),
        minute("baseline", 2, 9, 0), minute("candidate", 2, 0, 0)])
    found = outages.failing_minutes(store, "invoices", start=START, end=END)
    assert (found.with_errors, found.down) == (2, 1)

"""Samples come back as they were kept, and minutes are the sum of their seconds."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import GATEWAY, MAIN_GATEWAY, Measurements, Sample, combine
from changeover.plan.procedures import RetentionSpec
from changeover.store import gateway_seconds, minutes, pruning, samples, series
from changeover.store.engine import Store

FIRST = 1_700_000_040
SAMPLE = Sample(
    "candidate", FIRST, requests=9, client_errors=2, user_errors=1, redirects=3, answers=4,
    empty_answers=1, answer_bytes=7_000_000_000, answer_logs=12.5, watched=1, listened=1,
    users={"client_error": (4, 9), "answer": (4, 8, 9)}, errors={"reset": 1},
    latency=Histogram.of([1500]), probes=1, probes_up=1, memory_bytes=1 << 33, cpu_cores=0.5,
    statuses={"200": 4, "404": 2}, subsets={"segment:beta": Measurements(
        requests=3, statuses={"404": 2}, errors={"reset": 1}, latency=Histogram.of([1500]))},
)
KEPT = [each.name for each in fields(Sample)
        if each.name not in ("outcomes", "failures", "durations", "quality")]


@pytest.mark.parametrize("name", KEPT)
def test_sample_comes_back_as_it_was_kept(store: Store, name: str) -> None:
    """Nothing that a sample tells is lost in the store."""
    kept = replace(SAMPLE, compared=3, matched=2, similarity=2.5)
    samples.write(store, "invoices", [kept])
    (found,) = gateway_seconds.recent(store, "invoices", since=clock.from_timestamp(FIRST))
    assert getattr(found, name) == getattr(kept, name)


def test_minute_is_the_sum_of_its_seconds(store: Store) -> None:
    """A window over rolled-up minutes says what one over the seconds says."""
    seconds = [replace(SAMPLE, at=FIRST + number,
                       users={"redirect": (number,)}) for number in range(60)]
    samples.write(store, "invoices", seconds)
    start = clock.from_timestamp(FIRST)
    end = start + timedelta(seconds=60)
    assert minutes.rollup(store, "invoices", now=end + timedelta(minutes=1)) == 1
    pruning.prune(store, "invoices", RetentionSpec(
        seconds=timedelta(0), minutes=timedelta(days=1)), now=end + timedelta(minutes=2))
    found = samples.window(store, "invoices", "candidate", start=start, end=end)
    assert found == combine(seconds, seconds=60)


def test_window_of_either_system_tells_what_the_gateway_refused(store: Store) -> None:
    """Seconds and rolled-up minutes say the same, and a system's own errors are others."""
    samples.write(store, "invoices", [
        each for number in range(90) for each in (
            replace(SAMPLE, at=FIRST + number),
            Sample(GATEWAY, FIRST + number, requests=20, errors={"http1.codec_error": 2}))])
    start = clock.from_timestamp(FIRST)
    end = start + timedelta(seconds=90)
    before = [samples.window(store, "invoices", name, start=start, end=end)
              for name in ("baseline", "candidate")]
    assert minutes.rollup(store, "invoices", now=end + timedelta(minutes=1))
    for found in (*before, samples.window(store, "invoices", "candidate", start=start, end=end)):
        assert (found.arrived, found.refused) == (1800, {"http1.codec_error": 180})
        assert found.measure("refused_rate").value == pytest.approx(0.1)
    assert before[1].errors == {"reset": 90}
    assert before[0].requests == 0


GATEWAYS = (MAIN_GATEWAY, "second")
BOTH = [replace(SAMPLE, at=FIRST + number, gateway=gateway, memory_bytes=1000 * number)
        for number in range(120) for gateway in GATEWAYS]
START, END = (clock.from_timestamp(FIRST + seconds) for seconds in (0, 120))


def test_samples_of_two_gateways_add_up_in_a_window(store: Store) -> None:
    """Both gateways' requests count, and a second in which both measured is one second."""
    samples.write(store, "invoices", BOTH)
    found = samples.window(store, "invoices", "candidate", start=START, end=END)
    assert (found.requests, found.errors) == (2 * 120 * 9, {"reset": 2 * 120})
    assert (found.watched, found.listened, found.process_samples) == (120, 120, 120)
    assert found.measure("request_rate").value == 18.0


def test_samples_of_two_gateways_add_up_in_their_minutes(store: Store) -> None:
    """A roll-up and what is pruned after it change no window; each gateway has its minutes."""
    samples.write(store, "invoices", BOTH)
    before = samples.window(store, "invoices", "candidate", start=START, end=END)
    assert minutes.rollup(store, "invoices", now=END + timedelta(minutes=1)) == 4
    pruning.prune(store, "invoices", RetentionSpec(
        seconds=timedelta(0), minutes=timedelta(days=1)), now=END + timedelta(minutes=2))
    assert gateway_seconds.recent(store, "invoices", since=START) == []
    assert samples.window(store, "invoices", "candidate", start=START, end=END) == before


def test_minutes_of_every_gateway_are_pruned(store: Store) -> None:
    """What is older than its retention is gone, whoever measured it."""
    samples.write(store, "invoices", BOTH)
    minutes.rollup(store, "invoices", now=END + timedelta(minutes=1))
    pruning.prune(store, "invoices", RetentionSpec(
        seconds=timedelta(0), minutes=timedelta(0)), now=END + timedelta(minutes=2))
    found = samples.window(store, "invoices", "candidate", start=START, end=END)
    assert found == combine([], seconds=120)


def test_samples_of_two_gateways_are_one_point_of_a_trend(store: Store) -> None:
    """A chart or a trend has one point for each second, not two."""
    samples.write(store, "invoices", BOTH)
    seconds = gateway_seconds.recent(store, "invoices", since=START)
    points = samples.series(store, "invoices", "candidate", start=START, end=END, points=121)
    for found in (seconds, points):
        assert [(each.at, each.requests, each.memory_bytes) for each in found] == [
            (FIRST + number, 18, 1000 * number) for number in range(120)]


def test_points_of_seconds_stay_seconds_after_their_minutes_were_summed_up(store: Store) -> None:
    """Else a minute's sum would stand in one second, sixty times too high."""
    samples.write(store, "invoices", [replace(SAMPLE, at=FIRST + n) for n in range(120)])
    span = {"start": START, "end": END, "points": 121}
    before = samples.series(store, "invoices", "candidate", **span)
    minutes.rollup(store, "invoices", now=END + timedelta(minutes=1))
    assert samples.series(store, "invoices", "candidate", **span) == before
    assert {each.requests for each in before} == {SAMPLE.requests}


def test_points_of_a_short_time_long_ago_are_minutes(store: Store) -> None:
    """What is left of a rollback's minutes is shown, not an empty chart."""
    samples.write(store, "invoices", [replace(SAMPLE, at=FIRST + n) for n in range(120)])
    minutes.rollup(store, "invoices", now=END + timedelta(minutes=1))
    pruning.prune(store, "invoices", RetentionSpec(
        seconds=timedelta(0), minutes=timedelta(days=1)), now=END + timedelta(minutes=2))
    found = samples.series(store, "invoices", "candidate", start=START, end=END, points=121)
    assert [(each.at, each.resolution, each.requests) for each in found] == [
        (FIRST, 60, 60 * SAMPLE.requests), (FIRST + 60, 60, 60 * SAMPLE.requests)]


def test_reading_all_systems_looks_at_no_row_of_another_time(store: Store) -> None:
    """The observer does so every second, however many months are kept."""
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if "FROM sample" in statement and connection.dialect.name == "sqlite":
            found = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(str(row) for row in found if "sample" in str(row))

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        gateway_seconds.recent(store, "invoices", since=START)
        pruning.prune(store, "invoices", RetentionSpec(), now=END)
        series.oldest(store, "invoices")
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
    assert plans or not store.url.startswith("sqlite")
    assert all("resolution=?" in each for each in plans), plans


@pytest.mark.parametrize("is_summed_up", [False, True], ids=["seconds", "minutes"])
def test_window_of_a_segment_has_its_requests_only(store: Store, is_summed_up: bool) -> None:
    """In seconds and in minutes; of a segment that was not counted nothing is known."""
    samples.write(store, "invoices", [replace(SAMPLE, at=FIRST + n) for n in range(60)])
    start = clock.from_timestamp(FIRST)
    end = start + timedelta(seconds=60)
    if is_summed_up:
        assert minutes.rollup(store, "invoices", now=end + timedelta(minutes=1)) == 1
    found = samples.window(store, "invoices", "candidate", start=start, end=end, segment="beta")
    assert (found.requests, found.errors, found.statuses) == (180, {"reset": 60}, {"404": 120})
    assert found.measure("request_rate").value == 3
    assert found.probes == 0
    other = samples.window(store, "invoices", "candidate", start=start, end=end, segment="gold")
    assert (other.requests, other.measure("request_rate").value) == (0, None)

"""Tables for analysts from real databases: whole, in order, in parts, and without users' keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from changeover import clock, frames
from changeover.analysis.window import Measurements, Sample
from changeover.domain.audit import NewEvent
from changeover.domain.comparisons import Compared, Example
from changeover.domain.outcomes import Outcome
from changeover.errors import InvalidInput
from changeover.frames.columns import TABLES
from changeover.plan.subsets import subset_of_route
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, comparisons, exporting, minutes, outcomes, samples
from changeover.store.engine import Store
from tests.support.cutover_story import BEGIN, CutoverStory
from tests.support.processes import LONGEST_PAUSE

SAMPLED = ("samples", "route_samples")
WITH_KEYS = {name for name, table in TABLES.items() if any(c.is_key for c in table.columns)}
ORDERS = subset_of_route("orders")
USER = "/users/alice?token=3"


@pytest.fixture
def story(store_url: str) -> Iterator[CutoverStory]:
    """A cutover that was rolled back, with comparisons, outcomes and a claim."""
    store = Store.open(store_url, timeout=LONGEST_PAUSE)
    told = CutoverStory(store).rolled_back()
    batch = []
    for number in range(7):
        found = {"$.name": Example(USER, "$.name", "value", "a", "b")} if number % 2 else {}
        batch.append(Compared(
            BEGIN + timedelta(seconds=number), f"GET {USER}", f"r{number}", 0.5, not found,
            0.1, 0.2, found))
    comparisons.write(store, told.migration, batch, {"seen": 7})
    reported = []
    for number in range(5):
        # the order of ids is not the order of time
        reported.append(Outcome(
            f"alice-{9 - number}", "candidate", number > 0, 1.5, {"confidence": 0.5}))
    outcomes.save(store, told.migration, reported, now=BEGIN)
    samples.write(store, told.migration, [
        Sample(system, int(BEGIN.timestamp()) - 60 + second, requests=5, subsets={
            ORDERS: Measurements(requests=3, errors={"timeout": 1}), "segment:beta": Measurements(
                requests=2)})
        for system in ("baseline", "candidate") for second in range(4)])
    minutes.rollup(store, told.migration, now=told.now + timedelta(hours=1))
    audit.record(store, told.migration, NewEvent(
        "candidate: worker", "claim.handed_over", {"item": USER, "to": "baseline"}, told.now))
    yield told
    store.close()


def site_of(story: CutoverStory) -> Site:
    return Site(Home(Path("none")), story.plan, story.store)


def test_every_table_has_its_columns_and_types(story: CutoverStory) -> None:
    """As documented, with rows and without."""
    site = site_of(story)
    later = clock.now() + timedelta(days=400)
    for name, table in TABLES.items():
        function = getattr(frames, name)
        found, nothing = function(site), function(site, since=later)
        assert len(found) and not len(nothing), name
        expected = {c.name: c.dtype for c in table.columns if not c.is_key}
        for frame in (found, nothing):
            types = {column: str(dtype) for column, dtype in frame.dtypes.items()}
            assert types == expected


def test_parts_are_the_whole_in_the_same_order(
    story: CutoverStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows are read at once, none is lost, none comes twice."""
    site = site_of(story)
    for name in TABLES:
        resolution = {"resolution": 1} if name in SAMPLED else {}
        with monkeypatch.context() as patched:
            whole = getattr(frames, name)(site, **resolution)
            patched.setattr(exporting, "AT_ONCE", 2)
            parts = list(frames.parts(name, site, **resolution))
        assert sum(map(len, parts)) == len(whole)
        rows = [row for part in parts for row in part.to_dict("records")]
        assert json.dumps(rows, default=str) == json.dumps(whole.to_dict("records"), default=str)


def test_what_was_measured_adds_up(story: CutoverStory) -> None:
    """Requests, failures and quantiles of a frame are those of the store."""
    found = frames.samples(site_of(story), resolution=1)
    assert set(found["system"]) >= {"baseline", "candidate", "shadow"}
    candidate = found[found["system"] == "candidate"]
    assert candidate["failed"].sum() > 0
    bins = json.loads(candidate["latency_bins"].iloc[-1])
    assert sum(bins.values()) == candidate["requests"].iloc[-1]
    assert found["compared"].sum() == 7
    checks = frames.checks(site_of(story))
    assert set(checks["verdict"]) == set(frames.verdicts(site_of(story))["id"])


def test_requests_of_a_route_are_rows_of_their_own(story: CutoverStory) -> None:
    """Those of a segment are not among them; what is in no route is in the samples alone."""
    found = frames.route_samples(site_of(story), resolution=1)
    assert set(found["route"]) == {"orders"}
    sums = found.groupby("system")[["requests", "failed"]].sum()
    assert sums.to_dict("index") == {name: {"requests": 12, "failed": 4}
                                     for name in ("baseline", "candidate")}


def test_time_is_from_and_excluded_until(story: CutoverStory) -> None:
    """Two halves have each row once."""
    site, middle = site_of(story), BEGIN + timedelta(seconds=3)
    before = frames.comparisons(site, until=middle)
    after = frames.comparisons(site, since=middle)
    assert (len(before), len(after)) == (3, 4)
    events = len(frames.audit(site, since=middle)) + len(frames.audit(site, until=middle))
    assert events == len(frames.audit(site))
    with pytest.raises(InvalidInput, match="has no zone"):
        frames.comparisons(site, since=datetime(2026, 3, 2))  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="Allowed: stages, verdicts"):
        next(frames.parts("secrets", site))
    assert middle.tzinfo is UTC


def test_no_key_of_a_user_is_in_a_table_unless_asked_for(story: CutoverStory) -> None:
    """Neither as a column nor within a document."""
    site = site_of(story)
    for name in TABLES:
        function = getattr(frames, name)
        assert "alice" not in function(site).to_csv()
        if name in WITH_KEYS:
            assert "alice" in function(site, with_keys=True).to_csv()
    assert "alice" in frames.audit(site, with_keys=True).to_csv()

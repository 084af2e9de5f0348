"""What a comparison shows is the same, whenever the observer that counts for it was killed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from changeover import clock
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.domain.routing import bucket
from changeover.domain.slices import LogPlace
from changeover.observer.service import Observer
from changeover.procedures.bucket_evidence import stage_sums
from changeover.procedures.steps import CutoverRun
from changeover.site.bucket_sums import packed
from changeover.site.site import Site
from changeover.store import cutovers, plans, slices
from changeover.store.engine import Store
from tests.support.clocks import live_at
from tests.support.killing import in_child, killed_at, lines_of
from tests.support.soaking_stage import STAGE, soaking, traffic

NOW = clock.now().replace(second=0, microsecond=0)
ENTERED = NOW - timedelta(minutes=30, seconds=30)
GATES = {"slo": [{"metric": "error_rate", "ratio_to_baseline": 1.5}]}
FILES = ("observer/service.py", "observer/slice_log.py", "observer/slicing.py",
         "store/slices.py", "store/samples.py")
PARTS, REQUESTS = 5, 120


def prepare(run: CutoverRun) -> None:
    """Store an hour in which everyone was on the baseline, and end the log of that time."""
    before = (ENTERED - timedelta(hours=1)).timestamp()
    past = traffic(0, before, (0.01, 0.01), 1)
    slices.save(run.site.store, "bench", [packed(past)], LogPlace(1, 1), gateway="main")
    run.site.home.create()
    run.site.home.gateway_files.access_log.touch()


def part(number: int) -> str:
    """Return some minutes of the log: the candidate fails five times as many requests."""
    chance = np.random.default_rng(number)
    first = ENTERED.timestamp() + 400 + 180 * number
    found = []
    for index, user in enumerate(chance.integers(0, 500, REQUESTS)):
        key = f"user-{user}"
        is_new = bucket(key) < 5000
        status = 500 if chance.random() < (0.1 if is_new else 0.02) else 200
        name = "candidate" if is_new else "baseline"
        found.append(json.dumps({
            "t": f"{first + 0.4 * index:.6f}", "us": 900, "s": status, "f": "-",
            "r": "split:5000:safe", "c": name, "h": "127.0.0.1:1", "n": 1, "k": key}))
    return "\n".join(found) + "\n"


def observing(run: CutoverRun, url: str) -> Callable[[], str]:
    """Return what an observer does that was just started: read on, judge, save."""
    home = run.site.home

    def observe() -> str:
        with closing(Store.open(url)) as store:
            observer = Observer(Site(home, plans.load(store), store), None)
            observer._read_log()
            observer._judge()
            observer.slices.save()
            observer.unsaved.save(store, "bench")
        return ""

    return observe


def shown(run: CutoverRun) -> dict[str, Any]:
    """Return the numbers of the comparison, E among them."""
    record = cutovers.stage(run.site.store, run.id, STAGE)
    assert record is not None
    sums = stage_sums(run.site, record, end=NOW)
    found = judge_by_buckets(run.site.plan.gates["slo"][0], sums).as_evidence()
    assert found["sequential"]
    assert found["samples"] > 0
    return found


def any_line(lines: list[tuple[str, int]], chosen: random.Random) -> int:
    """Return when a line is run that was chosen among all different ones, counted from 1."""
    line = chosen.choice(sorted(set(lines)))
    number = chosen.choice([index for index, each in enumerate(lines, 1) if each == line])
    # whoever is killed has as much to do or more; its last lines may be fewer all the same
    return min(number, len(lines) * 19 // 20)


@pytest.mark.chaos
@pytest.mark.parametrize("database", ["sqlite"])
def test_evidence_is_the_same_after_kills_of_the_observer_at_random_lines(
    store_url: str, sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sites have the same traffic; of one the observer is killed in the midst of each part."""
    live_at(monkeypatch, NOW)
    other = tmp_path / "other"
    other.mkdir()
    (other / "store.db").write_bytes(sqlite_template.read_bytes())
    other_url = f"sqlite:///{other / 'store.db'}"
    seed = random.randrange(10**6)
    chosen = random.Random(seed)
    with (
        soaking(store_url, tmp_path / "home", GATES, entered=ENTERED) as calm,
        soaking(other_url, other / "home", GATES, entered=ENTERED) as killed,
    ):
        undisturbed, disturbed = observing(calm, store_url), observing(killed, other_url)
        for run in (calm, killed):
            prepare(run)
        for number in range(PARTS):
            for run in (calm, killed):
                with run.site.home.gateway_files.access_log.open("a") as log:
                    log.write(part(number))
            killed_at(any_line(lines_of(FILES, undisturbed), chosen), FILES, disturbed)
        in_child(disturbed)
        assert shown(calm) == shown(killed), f"seed {seed}"

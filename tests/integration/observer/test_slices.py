"""The running observer counts by bucket what gates compare."""

from __future__ import annotations

import pytest

from changeover import clock
from changeover.analysis.sequential.counters import counters_of
from changeover.analysis.sequential.slices import Slice
from changeover.domain.routing import Mode
from changeover.plan.conditions import CheckSpec
from changeover.site.bucket_sums import opened
from changeover.store import slices
from tests.integration.observer.conftest import Start, Watched
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

BYTES = CheckSpec(metric="response_bytes", ratio_to_baseline=1.2)
GATES = {"slo": [{"metric": "latency_p95", "ratio_to_baseline": 1.5},
                 BYTES.model_dump(exclude_defaults=True)]}
PHASES = [{"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "1h"}]}]


def known(watched: Watched, weight: int) -> list[Slice]:
    """Return the slices of a split in the store."""
    end = int(clock.now().timestamp()) + 60
    return [opened(each) for each in slices.between(
        watched.store, "bench", weight=weight, start=0, end=end)]


def test_what_is_slow_is_frozen_before_users_move_and_counted_from_then_on(start: Start) -> None:
    """Two hundred requests of the baseline say what is slow; both systems are timed by that."""
    watched = start(gates=GATES, phases=PHASES)
    assert slices.slow_bounds(watched.store, "bench") == []
    watched.requests(250)
    wait_for(lambda: slices.slow_bounds(watched.store, "bench"), what="the bound")
    (bound,) = slices.slow_bounds(watched.store, "bench")
    assert bound.candidate_us == pytest.approx(1.5 * bound.baseline_us, abs=1)
    watched.move(Mode.GRADUAL, 5000)
    watched.requests(100)

    def timed() -> int:
        return sum(int(each.counts("", bound.of).requests.sum()) for each in known(watched, 5000))

    wait_for(lambda: timed() == 100, what="timed requests")
    # the size of each answer is in the same slices
    sizes = [each.counts(*counters_of(BYTES, {})) for each in known(watched, 5000)]
    assert sum(int(each.requests.sum()) for each in sizes) == 100
    assert sum(int(each.events.sum()) for each in sizes) > 100


def test_users_moved_before_anything_was_known_freeze_nothing(start: Start) -> None:
    """Nobody chooses what is slow by what a stage shows."""
    watched = start(gates=GATES, phases=PHASES)
    watched.move(Mode.GRADUAL, 5000)
    watched.requests(250)
    wait_for(lambda: sum(int(each.counts("").requests.sum())
                         for each in known(watched, 5000)) == 250, what="slices")
    assert slices.slow_bounds(watched.store, "bench") == []

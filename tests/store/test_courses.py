"""The course of gates: kept while stages soak, no nearer to each other than wanted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from changeover.domain.rollout import Standing
from changeover.domain.verdict import Verdict
from changeover.store import courses, cutovers, standings
from changeover.store.engine import Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
CHECK = {"verdict": "pass", "value": 0.25, "baseline_value": None, "reason": "long " * 100}


def save(store: Store, cutover: int, seconds: float, *, apart: float | None) -> None:
    """Save how the gate stands so many seconds after noon."""
    standings.save(
        store, Standing(cutover, "beta-5", "slo", NOON + timedelta(seconds=seconds),
                        Verdict.PASS, "", [CHECK]),
        apart=None if apart is None else timedelta(seconds=apart))


def test_moments_are_apart_and_belong_to_their_migration(store: Store) -> None:
    """The newest standing is replaced each time; its course has few numbers at few moments."""
    cutover = cutovers.begin(store, "shop", flow_run_id=str(uuid4()), now=NOON).id
    for second in (0, 5, 9, 10, 14, 21, 20.5):
        save(store, cutover, second, apart=10)
    found = courses.since(store, "shop", NOON)
    assert [(each.at - NOON).seconds for each in found] == [0, 10, 21]
    assert found[0].checks == [{"verdict": "pass", "value": 0.25, "baseline": None}]
    assert found[0].verdict is Verdict.PASS
    assert len(courses.since(store, "shop", NOON + timedelta(seconds=11))) == 1
    assert courses.since(store, "other", NOON) == []


def test_a_standing_that_is_only_replaced_has_no_course(store: Store) -> None:
    cutover = cutovers.begin(store, "shop", flow_run_id=str(uuid4()), now=NOON).id
    save(store, cutover, 0, apart=None)
    save(store, cutover, 0.1, apart=0)
    # two in one second would be one point
    save(store, cutover, 0.5, apart=0)
    assert len(courses.since(store, "shop", NOON)) == 1

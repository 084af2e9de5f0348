"""The list of all migrations: who needs somebody, which services live, how long a soak goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from changeover.domain.health import Heartbeat
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import Mode, RoutingState
from changeover.plan.load import parse_plan
from changeover.site.every_migration import (
    Services,
    by_migration,
    rank,
    services,
    stage_text,
    totals,
)
from tests.core.plan.test_load import GOOD

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
PLAN = parse_plan(GOOD, "test")
CUTOVER = Cutover(1, "shop", 0, CutoverStatus.RUNNING, None, NOW)
SOAKS = StageRecord(
    1, "gradual-10", 1, StageStatus.SOAKING, NOW, NOW + timedelta(minutes=40))


def beat(name: str, **ago: float) -> Heartbeat:
    return Heartbeat(name, NOW - timedelta(**ago), 1, "")


@pytest.mark.parametrize(("beats", "text", "tone"), [
    ([], "none has run of late", ""),
    ([beat("observer", days=8)], "none has run of late", ""),
    ([beat("console", seconds=2), beat("observer", seconds=3)], "console, observer", "pass"),
    ([beat("console", seconds=2), beat("observer", minutes=5)],
     "observer silent since 2026-11-29 11:55:00", "fail"),
    ([beat("console", minutes=6), beat("observer", minutes=5)],
     "all silent since 2026-11-29 11:55:00", "fail")])
def test_services_are_live_silent_or_gone(
    beats: list[Heartbeat], text: str, tone: str
) -> None:
    """One that was silent for a week was ended by somebody: nobody is alarmed for years."""
    assert services(beats, NOW) == Services(text, tone)


def test_signs_of_life_belong_to_their_migration_and_flow_runs_to_none() -> None:
    found = by_migration([beat("shop/observer", hours=0), beat("flow run 7", hours=0)])
    assert [each.service for each in found.pop("shop")] == ["observer"]
    assert found == {}


@pytest.mark.parametrize(("cutover", "stage", "text"), [
    (None, None, ""), (CUTOVER, None, "prepares"),
    (replace(CUTOVER, status=CutoverStatus.PROMOTED), SOAKS, ""),
    (CUTOVER, SOAKS, "gradual 10 %: soaks, 40 min left"),
    (CUTOVER, replace(SOAKS, soak_until=NOW), "gradual 10 %: its gates decide"),
    (CUTOVER, replace(SOAKS, status=StageStatus.WAITING), "gradual 10 %: waiting"),
    # of a plan that has this stage no more
    (CUTOVER, replace(SOAKS, key="gone"), "gone: soaks, 40 min left")])
def test_a_stage_says_how_long_it_still_soaks(
    cutover: Cutover | None, stage: StageRecord | None, text: str
) -> None:
    assert stage_text(PLAN, cutover, stage, NOW) == text


def row(name: str, *, mode: Mode = Mode.GRADUAL, **changes: Any) -> dict[str, Any]:
    """Return a migration whose cutover runs and that needs nobody."""
    return {"name": name, "state": RoutingState(name, mode), "waits": None, "is_running": True,
            "services": Services("observer", "pass"), **changes}


def test_what_needs_somebody_comes_first_and_is_counted() -> None:
    """Waiting for people, then rolled back, then unwatched, then what runs, then the rest."""
    rows = [
        row("a", is_running=False), row("b"),
        row("c", services=Services("all silent", "fail")),
        row("d", mode=Mode.EMERGENCY_ROLLBACK), row("e", waits={"stage": "beta-5"}),
        # nobody watches it, and nothing happens there
        row("f", is_running=False, services=Services("all silent", "fail"))]
    ordered = sorted(rows, key=rank)
    assert [each["name"] for each in ordered] == ["e", "d", "c", "b", "a", "f"]
    assert [(number, tone) for _, number, tone in totals(rows)] == [
        (6, ""), (4, ""), (1, "warn"), (1, "bad"), (2, "bad")]
    assert {tone for _, _, tone in totals([])} == {""}

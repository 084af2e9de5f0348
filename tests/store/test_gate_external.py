"""A gate asks an external source; its verdict says what was said, and is reached again."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.cli.verdict import verdict as verdict_command
from changeover.domain.rollout import StageAction
from changeover.domain.verdict import Verdict
from changeover.observer.polling import SourcePolls
from changeover.observer.standings import Standings
from changeover.plan.triggers import TriggerSpec
from changeover.procedures.gate import judge_stage
from changeover.procedures.recompute import recompute
from changeover.procedures.steps import CutoverRun
from changeover.site import status
from changeover.store import audit, standings, verdicts
from tests.support.processes import meanwhile, wait_for
from tests.support.soaking_stage import SEEN, STAGE, printed, soaking, stored, verdict_of

ENTERED = clock.now() - timedelta(minutes=20)
QUERY = "SELECT share, orders, unixepoch() FROM failed WHERE system = {system}"
GATES = {
    "slo": [{"metric": "external.failed", "ratio_to_baseline": 1.5, "on_fail": "rollback"},
            {"metric": "external.failed", "below": "5%"}]}
TRIGGER = {"name": "failing", "metric": "external.failed", "above": "5%", "for": "1s",
           "over": "10m", "action": "rollback"}


@dataclass
class Shop:
    """A cutover whose gate asks a shop's own database, and that database."""

    run: CutoverRun
    file: Path

    def says(self, candidate: float | None, baseline: float | None = 0.01) -> None:
        """Have the shop say which share of payments failed."""
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute("DELETE FROM failed")
            database.executemany("INSERT INTO failed VALUES (?, ?, 400)", [
                ("candidate", candidate), ("baseline", baseline)])


@pytest.fixture
def shop(store_url: str, tmp_path: Path) -> Iterator[Shop]:
    """A stage of 50 % that began twenty minutes ago."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE failed (system TEXT, share REAL, orders INTEGER)")
    sources = {"shop": {
        "kind": "sql", "url": f"sqlite:///{file}", "every": "1s", "max_age": "10m",
        "timeout": "30s", "metrics": {"failed": {
            "query": QUERY, "unit": "share", "samples": "orders", "at": "unixepoch()"}}}}
    with soaking(store_url, tmp_path, GATES, entered=ENTERED, sources=sources,
                 triggers=[TRIGGER]) as run:
        yield Shop(run, file)


@pytest.mark.parametrize(("candidate", "said", "action"), [
    (0.012, Verdict.PASS, StageAction.PROMOTE), (0.02, Verdict.FAIL, StageAction.ROLLBACK)])
def test_gate_is_judged_by_what_the_source_says(
    shop: Shop, candidate: float, said: Verdict, action: StageAction
) -> None:
    """The evidence has the value, when it was measured, by which source, and what it was asked."""
    shop.says(candidate)
    decision = judge_stage(shop.run, STAGE, SEEN)
    found = stored(shop.run)
    assert (found.verdict, decision.action) == (said, action), decision.reason
    own = found.evidence[0]["external"]["own"]
    assert (own["value"], own["samples"], own["source"]) == (candidate, 400, "shop")
    assert own["query"].endswith("with {system} = 'candidate'")
    assert own["window_seconds"] >= 1190
    assert own["measured_at"]
    assert found.evidence[0]["external"]["baseline"]["value"] == 0.01


@pytest.mark.parametrize(("candidate", "baseline", "said"), [
    (None, 0.01, "of candidate: source shop: the value is empty"),
    (0.01, None, "of baseline: source shop: the value is empty"),
    (7.0, 0.01, "7 is no share"),
])
def test_a_source_without_a_value_decides_nothing(
    shop: Shop, candidate: float | None, baseline: float | None, said: str
) -> None:
    """Neither promoted nor rolled back: it is looked at again, and then people are asked."""
    shop.says(candidate, baseline)
    decision = judge_stage(shop.run, STAGE, SEEN)
    assert stored(shop.run).verdict is Verdict.INCONCLUSIVE
    assert decision.action in (StageAction.WAIT, StageAction.ASK)
    assert said in decision.reason


def test_no_credential_reaches_the_store_or_a_page(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the database's driver says of an address with a password."""
    monkeypatch.setenv("SHOP_DATABASE", "postgresql://reader:s3cret@127.0.0.1:1/shop?s3cret=1")
    sources = {"shop": {"kind": "sql", "env": "SHOP_DATABASE", "retries": 0, "timeout": "30s",
                        "metrics": {"failed": {"query": QUERY, "unit": "share"}}}}
    with soaking(store_url, tmp_path, GATES, entered=ENTERED, sources=sources) as run:
        known = verdict_of(run)
        assert known.verdict is Verdict.INCONCLUSIVE
        shown = printed(run, verdict_command, str(known.id))
        assert "source shop" in shown
        events = audit.events(run.site.store, run.migration)
        assert "s3cret" not in f"{known} {shown} {events} {status.collect(run.site, now=ENTERED)}"


def test_a_source_that_is_away_decides_nothing(shop: Shop) -> None:
    """As one that says nothing."""
    shop.file.unlink()
    found = verdict_of(shop.run)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "source shop: the database says: unable to open" in found.reason


@pytest.mark.parametrize("candidate", [0.012, 0.02, None])
def test_verdict_is_reached_again_without_the_source(
    shop: Shop, candidate: float | None
) -> None:
    """From what was stored; a changed value is found out."""
    shop.says(candidate)
    known = verdicts.get(shop.run.site.store, verdict_of(shop.run).id)
    assert known is not None
    shop.file.unlink()
    assert [each.problem for each in recompute(*known)] == ["", ""]
    evidence = json.loads(json.dumps(known[0].evidence))
    evidence[0]["external"]["own"] |= {"value": 0.5, "problem": ""}
    known[0].evidence[:] = evidence
    assert "other than stored: " in recompute(*known)[0].problem


def test_command_says_what_was_asked_and_when(shop: Shop) -> None:
    """And that it is not asked again when the verdict is recomputed."""
    shop.says(0.02)
    number = str(verdict_of(shop.run).id)
    shown = printed(shop.run, verdict_command, number)
    assert "by source shop" in shown
    assert "external.failed of candidate: source shop, asked at " in shown
    assert "WHERE system = {system} with {system} = 'candidate'" in shown
    assert "it is not asked again" in printed(shop.run, verdict_command, number, "--recompute")


def watching(shop: Shop, polls: SourcePolls) -> Any:
    """Ask the source as the observer does, while the block runs."""
    def work(done: threading.Event) -> None:
        polls.watch("shop", done)
    return meanwhile(work)


def test_standing_shows_what_the_source_said_last(shop: Shop) -> None:
    """It does not wait for the source: before its first answer nothing is known."""
    shop.says(0.012)
    site = shop.run.site
    polls = SourcePolls(site)
    observed = Standings(site, polls)
    assert observed.evaluate() == []
    (standing,) = standings.of_stage(site.store, shop.run.id, STAGE)
    assert standing.verdict is Verdict.INCONCLUSIVE
    assert "it has not been asked yet" in standing.reason

    def verdict() -> Verdict:
        observed.evaluate()
        return standings.of_stage(site.store, shop.run.id, STAGE)[0].verdict

    with watching(shop, polls):
        wait_for(lambda: verdict() is Verdict.PASS, seconds=10)
        cutover = status.collect(site, now=clock.now())
        assert "by source shop at " in status.as_text(cutover)
        shop.says(0.5)  # a bound that is broken early is no evidence: nobody is rolled back now
        wait_for(lambda: verdict() is Verdict.FAIL, seconds=10)
        assert observed.evaluate() == []
        shop.file.unlink()
        wait_for(lambda: verdict() is Verdict.INCONCLUSIVE, seconds=10)


def test_triggers_know_what_the_source_had_said_by_a_second(shop: Shop) -> None:
    """A later answer says nothing of a second before it, nor does one of before a restart."""
    shop.says(0.5)
    polls = SourcePolls(shop.run.site)
    (spec,) = shop.run.site.plan.triggers
    assert isinstance(spec, TriggerSpec)
    before = int(clock.now().timestamp()) - 1

    def newest(since: int = 0) -> Any:
        now = int(clock.now().timestamp())
        return polls.reading(spec, "candidate", at=now, since=since)

    with watching(shop, polls):
        wait_for(lambda: newest() is not None, seconds=10)
    assert (newest().value, newest().samples) == (0.5, 400)
    assert polls.reading(spec, "candidate", at=before, since=0) is None
    assert newest(since=int(clock.now().timestamp()) + 60) is None
    assert newest().question.window == 600
    moved = int(clock.now().timestamp()) - 4
    assert polls.reading(spec, "candidate", at=moved + 5, since=moved) is not None
    with watching(shop, polls):  # users were moved seconds ago: a window of before says nothing
        wait_for(lambda: newest(moved).question.window < 600, seconds=3)
    later = int((clock.now() + timedelta(minutes=11)).timestamp())
    stale = polls.reading(spec, "candidate", at=later, since=0)
    assert stale is not None
    assert "stale" in stale.problem

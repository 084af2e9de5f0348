"""Seconds that a node sends after their minute was summed up are summed up, whatever ends it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from changeover import clock
from changeover.analysis.window import Sample
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.node.card import Card
from changeover.node.judging import Judging
from changeover.node.measuring import Measuring
from changeover.node.own_moves import OwnMoves
from changeover.observer.late import LATE_SECONDS
from changeover.observer.service import Observer
from changeover.observer.throttle import LogOnce
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import late_sums, minutes, samples
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity
from tests.store.conftest import shop

AT = int(clock.now().timestamp()) // 60 * 60 - 600


def begin(store: Store, directory: Path) -> Measuring:
    """Return what a node's start, or its next session, measures with."""
    home = Home(directory)
    home.create()
    site = Site(home, shop(), store, Gateway(GatewayFiles(directory / "gateway"), name="edge-1"))
    card = Card(Identity("shop", "edge-1", "home", ""))
    judging = Judging(site.plan, card, OwnMoves(site.gateway), LogOnce())
    return Measuring(site, card, judging)


def come_late(measuring: Measuring) -> None:
    """Have seconds to send whose minute was summed up."""
    late = [Sample("candidate", AT + second, gateway="edge-1", requests=3) for second in range(30)]
    measuring._unsaved.add(late, {("user", "candidate"): clock.now()})


def requests(store: Store, seconds: int = 60) -> int:
    """Return what a window over that minute counts, or over more of them."""
    return samples.window(store, "shop", "candidate", start=clock.from_timestamp(AT),
                          end=clock.from_timestamp(AT + seconds)).requests


@pytest.fixture
def summed(store: Store) -> Store:
    """A store in which the main machine summed a minute up."""
    own = [Sample("candidate", AT + second, requests=2) for second in range(60)]
    samples.write(store, "shop", own)
    minutes.rollup(store, "shop", now=clock.from_timestamp(AT + 200))
    assert requests(store) == 120
    return store


def test_a_session_that_ends_sums_up_what_it_sent_late(summed: Store, tmp_path: Path) -> None:
    """It does not wait; the next one does it once more, for who summed at that moment."""
    measuring = begin(summed, tmp_path)
    come_late(measuring)
    measuring.save()
    assert requests(summed) == 120
    measuring.finish()
    assert requests(summed) == 210
    following = begin(summed, tmp_path)
    assert following._late.since == AT
    following._late._sent -= LATE_SECONDS
    following.save()
    assert (requests(summed), following._late.since) == (210, None)
    assert begin(summed, tmp_path)._late.since is None


def test_what_was_sent_before_a_store_failed_is_summed_up_by_the_next_start(
    summed: Store, tmp_path: Path
) -> None:
    """The seconds are in, what is sent after them is not, and the node is killed."""
    measuring = begin(summed, tmp_path)
    come_late(measuring)
    with summed.engine.begin() as connection:
        connection.execute(text("ALTER TABLE user_first_error RENAME TO gone"))
    with pytest.raises(Exception, match="user_first_error"):
        measuring.save()
    assert requests(summed) == 120
    with summed.engine.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO user_first_error"))
    again = begin(summed, tmp_path)
    again.save()
    assert requests(summed) == 120
    again._late._sent -= LATE_SECONDS
    again.save()
    assert requests(summed) == 210


def observer(store: Store, directory: Path) -> Observer:
    """Return the main machine's observer, of which nothing runs."""
    home = Home(directory)
    home.create()
    home.gateway_files.root.mkdir(parents=True, exist_ok=True)
    return Observer(Site(home, shop(), store, Gateway(home.gateway_files)), None)


def test_what_the_main_machine_measured_while_a_spare_led_is_summed_up(
    store: Store, tmp_path: Path
) -> None:
    """It counts once, whether its observer is killed after sending or not."""
    spare = [Sample("candidate", AT + second, gateway="edge-1", requests=2)
             for second in range(600)]
    samples.write(store, "shop", spare)
    minutes.rollup(store, "shop", now=clock.from_timestamp(AT + 700))
    own = [Sample("candidate", AT + second, requests=3) for second in range(90, 600)]
    first = observer(store, tmp_path)
    first.unsaved.add(own, {})
    first._save()
    assert first._late.since == AT + 90
    following = observer(store, tmp_path)
    following.unsaved.add(own, {})
    following._save()
    following._late.sum_up_when_due()
    assert requests(store, 600) == 1200
    following._late._sent -= LATE_SECONDS
    following._late.sum_up_when_due()
    assert (requests(store, 600), following._late.since) == (1200 + 3 * 510, None)
    assert observer(store, tmp_path)._late.since is None


def test_what_comes_while_minutes_are_summed_up_is_not_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender waits for the end; with many gateways that takes longer than it does else."""
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    samples.write(store, "shop", [Sample("candidate", AT, requests=2)])
    late = [Sample("candidate", AT + 1, gateway="edge-1", requests=3)]
    found: list[int | None] = []
    real = minutes.write_in

    def meanwhile(session: Session, migration: str, rows: Sequence[Sample]) -> None:
        """Have the late second come after the others were read."""
        with monkeypatch.context() as patched:
            patched.setattr(minutes, "write_in", real)
            samples.write(store, "shop", late)
        found.append(late_sums.sum_up(store, "shop", "edge-1", range(AT, AT + 60), waits=False))
        real(session, migration, rows)

    with monkeypatch.context() as patched:
        patched.setattr(minutes, "write_in", meanwhile)
        minutes.rollup(store, "shop", now=clock.from_timestamp(AT + 100))
    assert found == [None] and requests(store) == 2
    assert late_sums.sum_up(store, "shop", "edge-1", range(AT, AT + 60)) == 1
    assert requests(store) == 5


def test_minutes_of_many_gateways_are_summed_up_bit_by_bit(store: Store) -> None:
    """A minute at a time, and few gateways at a time: what is in memory is bounded."""
    names = [f"edge-{number}" for number in range(minutes.GATEWAYS_AT_ONCE + 5)]
    samples.write(store, "shop", [
        Sample("candidate", AT + 60 * minute, gateway=name, requests=1)
        for name in names for minute in range(3)])
    written = minutes.rollup(store, "shop", now=clock.from_timestamp(AT + 300))
    assert written == 3 * len(names)
    assert requests(store, 180) == 3 * len(names)

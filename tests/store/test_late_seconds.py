"""Seconds that a node sends after their minute was summed up are summed up, whatever ends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.analysis.window import Sample
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.node.card import Card
from changeover.node.judging import Judging
from changeover.node.late import LATE_SECONDS
from changeover.node.measuring import Measuring
from changeover.node.own_moves import OwnMoves
from changeover.observer.throttle import LogOnce
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import samples
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


def requests(store: Store) -> int:
    """Return what a window over that minute counts."""
    return samples.window(store, "shop", "candidate", start=clock.from_timestamp(AT),
                          end=clock.from_timestamp(AT + 60)).requests


@pytest.fixture
def summed(store: Store) -> Store:
    """A store in which the main machine summed a minute up."""
    own = [Sample("candidate", AT + second, requests=2) for second in range(60)]
    samples.write(store, "shop", own)
    samples.rollup(store, "shop", now=clock.from_timestamp(AT + 200))
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

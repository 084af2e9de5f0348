"""Two migrations on one machine and in one database: neither touches the other's users."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from changeover.domain.routing import Mode
from changeover.store import audit, firings, gateway_nodes, publications, rollbacks
from tests.integration.node.conftest import Fleet, Node, start_fleet
from tests.integration.observer.conftest import ERRORS, NO_FAST_PATH
from tests.store.conftest import new_database
from tests.support import commands
from tests.support.processes import free_port, running, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


@dataclass
class Pair:
    """Two fleets, each with a node of the same name."""

    shop: Fleet
    mail: Fleet

    @property
    def nodes(self) -> tuple[Node, Node]:
        return self.shop.nodes[0], self.mail.nodes[0]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, postgres_template: str,
) -> Iterator[Pair]:
    """Half of the users of both are on the candidates."""
    url = new_database(postgres_url, template=postgres_template)
    with ExitStack() as stack:
        fleets = []
        for name in ("shop", "mail"):
            directory = tmp_path_factory.mktemp(name)
            fleet = start_fleet(stack, directory, url, migration=name, triggers=[ERRORS],
                                guardrails=NO_FAST_PATH)
            fleet.home.save_settings({"api_url": "", "migration": name})
            fleet.start_observer()
            fleet.start("edge-1")
            fleet.move(Mode.GRADUAL, 5000)
            fleets.append(fleet)
        yield Pair(*fleets)


def test_both_are_on_one_list(pair: Pair) -> None:
    """At the command line of either, and on either's page."""
    for fleet in (pair.shop, pair.mail):
        text = commands.changeover(fleet.home.root, "status", "--all")
        assert "2 migrations" in text
        for each in (pair.shop, pair.mail):
            assert f"{each.migration} ({each.plan.routing.listen}): " in text
    assert text.count("gateway nodes: 1 of 1 nodes confirmed") == 2
    port = free_port()
    command = [sys.executable, "-m", "changeover.console", "--home", str(pair.mail.home.root),
               "--migration", "mail", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, pair.mail.home.logs / "console.log"):
        page = f"http://127.0.0.1:{port}/pages/migrations"
        wait_for(lambda: "1 of 1 nodes confirmed" in httpx.get(page).text, what="the list")
        found = httpx.get(page).text
    assert "shop" in found and "mail" in found


def test_a_taken_address_or_home_is_told(pair: Pair, tmp_path: Path) -> None:
    """In words, with who has the home, and what to give instead; the other serves on."""
    taken = pair.nodes[0]

    def refused(home: Path, listen: int, ready: int) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "changeover.cli", "gateway", "--store", pair.mail.url,
             "--migration", "mail", "--name", "edge-2", "--listen", f"127.0.0.1:{listen}",
             "--ready", f"127.0.0.1:{ready}", "--home", str(home)],
            capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stderr

    code, said = refused(tmp_path / "own", taken.port, free_port())
    has = f"port {taken.port} is in use by gateway node edge-1 of shop (home {taken.home.root})"
    assert code == 7 and f"{has}, the gateway needs it" in said, said
    assert "give another with --listen: each migration needs an address of its own" in said
    code, said = refused(tmp_path / "own", free_port(), taken.ready_port)
    assert code == 7 and "give another with --ready" in said, said
    taken.kill()
    code, said = refused(taken.home.root, free_port(), free_port())
    assert code == 4 and "this home belongs to gateway node edge-1 of shop" in said, said
    taken.start()
    taken.wait_ready()


def test_users_of_one_are_moved_only_with_its_own_home(pair: Pair) -> None:
    """The gateway of the other home would get its routes."""
    said = commands.changeover(
        pair.shop.home.root, "rollback", "--migration", "mail", "--reason", "a slip", code=4)
    assert "this home serves shop, not mail" in said and "Name the home of mail" in said
    assert pair.mail.state().mode is Mode.GRADUAL


def test_a_rollback_of_one_leaves_the_other_where_it_is(pair: Pair) -> None:
    """Its trigger, its routes, its audit and what it waits for are its own."""
    shop, mail = pair.shop, pair.mail
    before, events = mail.state(), len(audit.events(mail.store, "mail"))
    shop.bench.fault("half")
    with shop.load(pair.nodes[0]), mail.load(pair.nodes[1]):
        wait_for(lambda: shop.state().mode is Mode.EMERGENCY_ROLLBACK, seconds=30,
                 what="the rollback")
        wait_for(lambda: pair.nodes[0].ask(5) == {"baseline": 5}, what="shop is back")
    shop.bench.fault("none")
    assert set(pair.nodes[1].ask(60)) == {"baseline", "candidate"}
    assert mail.state() == before
    assert len(audit.events(mail.store, "mail")) == events
    for name, count in (("shop", 1), ("mail", 0)):
        wait_for(lambda name=name, count=count: len(firings.all_of(shop.store, name)) == count,
                 what=f"firings of {name}")
        assert len(rollbacks.all_of(shop.store, name)) == count
        assert audit.verify(shop.store, name) == []
    newest = publications.latest(shop.store, "shop")
    assert newest is not None and newest.nodes == "1 of 1 nodes confirmed"


def test_a_dead_node_is_forgotten_in_its_own_migration(pair: Pair) -> None:
    """The other one has the same name and is alive."""
    shop, mail = pair.nodes

    def forget(fleet: Fleet, code: int) -> str:
        return commands.changeover(
            fleet.home.root, "forget-gateway", "edge-1", "--reason", "switched off", code=code)

    shop.kill()
    wait_for(lambda: gateway_nodes.fleet(pair.shop.store, "shop").silent, what="it is silent")
    assert "was not forgotten because it is alive" in forget(pair.mail, 4)
    forget(pair.shop, 0)
    assert shop.row() is None
    wait_for(lambda: mail.row() is not None and mail.ready().status_code == 200,
             what="the other one serves on")
    # tests run in any order: the next one finds it as it was
    shop.start()
    shop.wait_ready()

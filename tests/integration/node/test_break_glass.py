"""Break glass while the database is away: every node that can be reached, and one word of each."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from changeover.domain.routing import Mode
from changeover.machine.break_glass_token import TOKEN_VARIABLE
from changeover.site import node_addresses
from changeover.site.home import Home
from changeover.store import audit, rollbacks
from tests.integration.node.conftest import Begin, Fleet, Link, Node, link_of
from tests.integration.node.test_judges import spare_judge
from tests.support.commands import changeover
from tests.support.processes import free_port, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def away(begin: Begin) -> tuple[Fleet, Link]:
    """Three nodes and the main machine at 50 %, none of which reaches the database any more.

    A spare observer that only waits knows the nodes as well.

    The third one's agent was killed: its Envoy serves on, and nothing answers for it.
    """
    fleet = begin()
    link, fleet.url = link_of(fleet.url)
    fleet.home.save_secrets({"store_url": fleet.url})
    nodes = [fleet.node(f"edge-{number}", "--break-glass", f"127.0.0.1:{free_port()}")
             for number in (1, 2, 3)]
    for node in nodes:
        node.start(**{TOKEN_VARIABLE: TOKEN})
    for node in nodes:
        node.wait_ready()
    fleet.start_observer()
    fleet.move(Mode.GRADUAL, 5000)
    spare_judge(fleet)
    for home in (fleet.home, Home(fleet.directory / "spare" / "home")):
        wait_for(lambda home=home: len(node_addresses.read(home.gateway_files)) == 3,
                 what="addresses")
    nodes[2].kill()
    link.is_cut = True
    return fleet, link


def rollback(fleet: Fleet, reason: str, *options: str, code: int = 6) -> str:
    return changeover(
        fleet.home.root, "rollback", "--break-glass", "--reason", reason, *options, code=code)


def test_every_node_goes_back_without_the_store_and_all_is_told_once(
    away: tuple[Fleet, Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is not reached is named; once the store answers, one rollback covers all."""
    fleet, link = away
    one, two, dead = fleet.nodes
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    said = rollback(fleet, "wrong sums")
    assert "this machine's gateway: its users are at the baseline" in said
    assert "edge-1: its users are at the baseline" in said
    assert "edge-3 was not reached: " in said
    assert "users of this machine's gateway and 2 of 3 nodes are at the baseline" in said
    assert one.ask(20) == two.ask(20) == {"baseline": 20}
    assert set(dead.ask(40)) == {"baseline", "candidate"}

    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    document = rollback(fleet, "and again", "--output", "json")
    again = {each["node"]: each["result"] for each in json.loads(document)["nodes"]}
    assert again == {"edge-1": "already", "edge-2": "already", "edge-3": "not_reached"}

    dead.start(**{TOKEN_VARIABLE: TOKEN})
    link.is_cut = False
    wait_for(lambda: fleet.bench.gateway.journal() is None, what="the main machine's is recorded")
    wait_followed(fleet)
    state = fleet.state()
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, 1)
    told = audit.of_kind(fleet.store, "bench", "gateway_node.rolled_back")
    assert {each.data["node"] for each in told} == {"edge-1", "edge-2"}
    assert {each.data["reason"] for each in told} == {"wrong sums"}
    found = Counter(event.kind for event in audit.events(fleet.store, "bench"))
    assert (found["break_glass.used"], found["rollback.started"]) == (1, 1)
    assert len(told) == 2 and len(rollbacks.all_of(fleet.store, "bench")) == 1
    assert audit.verify(fleet.store, "bench") == []
    assert not written(TOKEN, fleet.directory), "the token is in no file and no log"


def wait_followed(fleet: Fleet) -> None:
    """Wait until every node serves what the store says, and all it did is recorded."""
    def follows(node: Node) -> bool:
        row = node.row()
        return row is not None and row.order == fleet.state().order and not row.unrecorded \
            and node.gateway.journal() is None and node.ask(5) == {"baseline": 5}

    for node in fleet.nodes:
        wait_for(lambda node=node: follows(node), what=f"{node.name} follows the store")


def written(text: str, directory: Path) -> list[Path]:
    """Return the files under a directory that hold a text."""
    return [path for path in directory.rglob("*")
            if path.is_file() and text.encode() in path.read_bytes()]


def test_from_another_machine_by_address(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with nothing but the token and the address; the store's observer does the rest."""
    fleet = begin()
    port, proxied = free_port(), "https://edge.example/one"
    edge = fleet.node("edge-1", "--break-glass", f"127.0.0.1:{port}", "--advertise", proxied)
    edge.start(**{TOKEN_VARIABLE: TOKEN})
    edge.wait_ready()
    fleet.start_observer()
    fleet.move(Mode.GRADUAL, 5000)
    row = edge.row()
    assert row is not None and row.break_glass_url == f"{proxied}/break-glass"
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    said = changeover(
        tmp_path / "elsewhere", "rollback", "--break-glass", "--reason", "wrong sums",
        "--migration", "bench", "--node", f"http://127.0.0.1:{port}")
    assert "edge-1: its users are at the baseline" in said
    assert "everyone of 1 of 1 nodes is at the baseline" in said
    wait_for(lambda: fleet.state().epoch == 1, what="everyone goes back")
    wait_followed(fleet)
    assert len(rollbacks.all_of(fleet.store, "bench")) == 1
    assert "other machines break glass here at https://edge.example/one/break-glass" in edge.log


@pytest.mark.parametrize(("options", "problem"), [
    (("--break-glass", "127.0.0.1:1"), "no token is set"),
    (("--advertise", "http://edge-1:8102"), "no token is set")])
def test_break_glass_is_not_opened_without_a_token(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    """Said at the start, and not in the emergency."""
    said = changeover(
        tmp_path, "gateway", "--store", "postgresql+psycopg://x@127.0.0.1:1/x",
        "--migration", "shop", "--name", "edge-1", *options, code=2)
    assert problem in said and options[0] in said


@pytest.mark.parametrize(("options", "problem"), [
    (("--advertise", "edge-1"), "is no address of a node"),
    (("--tls-key", "key.pem"), "belong together"),
    (("--tls-certificate", "no.pem", "--tls-key", "no.key"), "No such file"),
    (("--break-glass", "nowhere"), "--break-glass")])
def test_what_opens_break_glass_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], problem: str
) -> None:
    """Before anything starts."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    said = changeover(
        tmp_path, "gateway", "--store", "postgresql+psycopg://x@127.0.0.1:1/x",
        "--migration", "shop", "--name", "edge-1", *options,
        code=7 if "no.pem" in options else 2)
    assert problem in said


def test_a_node_that_is_named_by_address_belongs_to_a_migration(tmp_path: Path) -> None:
    """Its users may be another migration's; a home that knows its own need not be told."""
    options = ("rollback", "--break-glass", "--reason", "x", "--node", "http://127.0.0.1:1")
    said = changeover(tmp_path, *options, code=2)
    assert "it is not known whose node this is" in said and "--migration NAME" in said
    said = changeover(tmp_path, *options, "--migration", "shop", code=6)
    assert "was not reached" in said
    assert "nobody is certainly at the baseline" in said and "everyone" not in said
    Home(tmp_path).save_settings({"migration": "shop"})
    assert "was not reached" in changeover(tmp_path, *options, code=6)
    said = changeover(tmp_path, *options, "--migration", "other", code=2)
    assert "this home has the users of shop, not of other" in said


def test_nodes_are_named_for_break_glass_only(tmp_path: Path) -> None:
    """Otherwise they follow the store."""
    said = changeover(tmp_path, "rollback", "--reason", "x", "--node", "http://e:1", code=2)
    assert "--node works with --break-glass only" in said

"""Breaking glass at a node from elsewhere: who gets in, and what is done. Its gateway is files."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.console.limiting import MOST_AT_ONCE
from changeover.domain.break_glass import LONGEST_REASON, BreakGlassCall
from changeover.domain.own_moves import LOST
from changeover.domain.routing import Mode
from changeover.machine import trust
from changeover.machine.break_glass_token import FILE_VARIABLE, TOKEN_VARIABLE
from changeover.machine.trust import Fresh
from changeover.node.break_glass import Opening, open_to
from changeover.procedures import breaking_glass, retirement_note
from changeover.procedures.breaking_glass import Reached, Told
from changeover.site.node_addresses import NodeAddress
from tests.core.node.test_judging import Node
from tests.integration.conftest import make_plan
from tests.support.certificates import Authority
from tests.support.commands import changeover
from tests.support.processes import free_port

CLIENT = httpx.Client(trust_env=False, verify=False)  # noqa: S501  to read authorities takes long
TOKEN = "0123456789abcdef0123456789abcdef"
CALL = BreakGlassCall("wrong sums", "ann")
RETIRABLE: dict[str, Any] = {"phases": [
    {"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]},
    {"phase": "full", "soak": 0}, {"phase": "deprecation", "after": "1d"}]}


@contextmanager
def opened(node: Node, shown: Fresh | None = None) -> Iterator[str]:
    """Open a node's break glass; yields where."""
    port = free_port()
    url = f"http{'s' if shown else ''}://127.0.0.1:{port}/break-glass"
    # as the node does when it reads a plan
    retirement_note.foresee(node.gateway.files, node.plan)
    node.card.plan = node.plan
    assert node.card.moves is not None
    opening = Opening(("127.0.0.1", port), TOKEN, url, shown)
    with closing(open_to(opening, node.card, node.gateway, node.card.moves)):
        yield url


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, Mode.GRADUAL)


@pytest.fixture
def url(node: Node) -> Iterator[str]:
    with opened(node) as found:
        yield found


def post(url: str, token: str = TOKEN, **body: Any) -> httpx.Response:
    asked = {"reason": "wrong sums", "actor": "ann", **body}
    return CLIENT.post(url, json=asked, headers={"authorization": f"Bearer {token}"})


def ask(monkeypatch: pytest.MonkeyPatch, *nodes: NodeAddress, token: str = TOKEN) -> list[Told]:
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    return list(breaking_glass.everywhere(nodes, CALL))


def test_whoever_has_the_token_sends_users_back_once(node: Node, url: str) -> None:
    """The journal is that of break glass with the node's home; asked again, it says so."""
    first, second = post(url).json(), post(url, reason="again", actor="bob").json()
    journal = node.gateway.journal()
    assert journal is not None
    assert (journal["epoch"], journal["reason"], journal["actor"]) == (3, "wrong sums", "ann")
    assert not first["is_already"] and second["is_already"]
    assert second["reason"] == "wrong sums" and second["at"] == first["at"]


def test_a_node_that_was_only_lost_keeps_its_users_at_the_baseline(node: Node, url: str) -> None:
    """They would come back with the store; whoever breaks glass wants them to stay."""
    node.gateway.break_glass(
        reason="lost", actor="edge-1", now=clock.now(), facts={LOST: True})
    assert not post(url).json()["is_already"]
    journal = node.gateway.journal()
    assert journal is not None and journal["reason"] == "wrong sums" and LOST not in journal


@pytest.mark.parametrize("header", ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN,
                                    "Bearer \udcff\udcfe".encode("utf-8", "surrogateescape")])
def test_nobody_else_moves_anybody(node: Node, url: str, header: str | bytes) -> None:
    """Nor learns anything of the node."""
    answer = CLIENT.post(url, json={"reason": "x", "actor": "y"}, headers={"authorization": header})
    assert answer.status_code == 401 and "edge-1" not in answer.text
    assert CLIENT.get(url, headers={"authorization": header}).status_code == 401
    assert node.gateway.journal() is None


def test_wrong_tokens_are_limited_and_do_not_lock_out_the_right_one(
    node: Node, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They are logged as long as they are answered, and no token is."""
    with caplog.at_level(logging.INFO):
        wrong = f"not-the-token-{TOKEN}"
        codes = [0]
        # one more is free every three seconds: a machine that is busy may get some
        while 429 not in codes:
            codes.append(post(url, token=wrong).status_code)
        assert post(url).status_code == 200
    refused = codes.count(401)
    assert refused >= MOST_AT_ONCE and len(codes) == refused + 2
    assert caplog.text.count("break glass was refused to 127.0.0.1") == refused
    assert TOKEN not in caplog.text


def test_the_way_can_be_tried_without_moving_anybody(node: Node, url: str) -> None:
    """`GET` says who would be asked."""
    answer = CLIENT.get(url, headers={"authorization": f"bearer {TOKEN}"}).json()
    assert (answer["node"], answer["migration"], answer["is_broken"]) == ("edge-1", "bench", False)
    assert node.gateway.journal() is None


@pytest.mark.parametrize(("body", "problem"), [
    (b"{", "no JSON document"), (b"[]", "no JSON object"), (b"{}", "`reason` must be"),
    (b'{"reason": " ", "actor": "ann"}', "`reason` must be"),
    (b'{"reason": "x", "actor": 7}', "`actor` must be"),
    (b'"' + b"x" * 20_000 + b'"', "at most 16384 bytes")])
def test_what_is_not_understood_moves_nobody(
    node: Node, url: str, body: bytes, problem: str
) -> None:
    """The answer says what is wrong."""
    answer = CLIENT.post(url, content=body, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 400 and problem in answer.json()["error"]
    assert node.gateway.journal() is None


@pytest.mark.parametrize("other", [{"node": "edge-2"}, {"migration": "shop"}])
def test_a_node_that_is_not_meant_does_nothing(
    node: Node, url: str, other: dict[str, str]
) -> None:
    """An address may belong to another node by now."""
    assert post(url, **other).status_code == 409
    assert node.gateway.journal() is None


def test_a_baseline_that_was_retired_and_is_not_well_gets_nobody(tmp_path: Path) -> None:
    """A node has no note of it: it asks the baseline, unless the main machine knows better."""
    node = Node(tmp_path, Mode.CANDIDATE_ONLY, **RETIRABLE)
    with opened(node) as url:
        assert "is not well, and may have been retired" in post(url).json()["error"]
        assert node.gateway.journal() is None
        retirement_note.note(node.gateway.files, node.plan, now=clock.now())
        assert "was retired" in post(url, knows_baseline=True).json()["error"]
        retirement_note.forget(node.gateway.files)
        assert post(url, knows_baseline=True).status_code == 200


def test_a_node_that_has_no_plan_yet_asks_the_baseline_that_it_knew(tmp_path: Path) -> None:
    """It was started while the store is away; a plan that retires nothing has it ask nobody."""
    node = Node(tmp_path, Mode.CANDIDATE_ONLY, **RETIRABLE)
    with opened(node) as url:
        node.card.plan = None
        assert "may have been retired" in post(url).json()["error"]
        assert node.gateway.journal() is None
        retirement_note.foresee(node.gateway.files, make_plan())
        assert post(url).status_code == 200


def test_a_main_machine_that_was_set_up_anew_has_nodes_ask_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note may be lost with its disk; once its observer has asked the store, it knows."""
    for name in ("edge", "main"):
        (tmp_path / name).mkdir()
    node = Node(tmp_path / "edge", Mode.CANDIDATE_ONLY, **RETIRABLE)
    main = Node(tmp_path / "main", Mode.CANDIDATE_ONLY, **RETIRABLE)
    with opened(node) as url:
        def said() -> str:
            monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
            return changeover(tmp_path / "main", "rollback", "--break-glass", "--reason", "x",
                              "--migration", "bench", "--node", url, code=6)

        assert "is not well, and may have been retired" in said()
        assert main.gateway.journal() is not None and node.gateway.journal() is None
        retirement_note.know(main.gateway.files)
        # its Envoy does not run here
        assert "edge-1 was asked, but is not confirmed" in said()
    assert node.gateway.journal() is not None


ODD = "wrong \0 sums \udcff\ud800"


def test_odd_characters_keep_nobody_from_being_sent_back(
    node: Node, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told by their number: at the node, in its journal and in what it says of itself."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    call = BreakGlassCall(ODD * 500, f"ann {ODD}")
    told, = breaking_glass.everywhere([NodeAddress("edge-1", url, "bench")], call)
    assert told.result is Reached.UNCONFIRMED
    journal = node.gateway.journal()
    assert journal is not None and journal["actor"] == r"ann wrong \x00 sums \udcff\ud800"
    assert len(journal["reason"]) == LONGEST_REASON
    assert plain(node.card.problems)


def test_odd_characters_of_a_journal_or_a_program_silence_no_node(node: Node, url: str) -> None:
    """`rollback.sh` and older releases write journals, and anybody may ask over HTTP."""
    body = json.dumps({"reason": ODD, "actor": "ann"}).encode()
    answer = CLIENT.post(url, content=body, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200 and plain(answer.json()["reason"])
    journal = node.gateway.journal()
    assert journal is not None
    node.gateway.files.journal.write_text(json.dumps(journal | {"reason": ODD}))
    assert plain(node.card.problems)
    assert node.card.moves is not None and plain(node.card.moves.waiting()[0]["reason"])


def plain(text: str) -> bool:
    """Whether it has a reason that every database and every file takes."""
    return r"wrong \x00 sums \udcff\ud800" in text and bool(text.encode())


@pytest.mark.parametrize("meant", [
    ("edge-2", "bench"), ("edge-1", "shop"), ("", "shop")])
def test_only_the_node_that_is_meant_can_say_that_it_is_done(
    url: str, meant: tuple[str, str]
) -> None:
    """One that answers for another node or migration is not the one whose users go back."""
    answer = post(url).json() | {"is_served": True}
    name, migration = meant
    told = breaking_glass._read(NodeAddress(name, url, migration), 200, answer)
    assert told.result is Reached.NOT_REACHED and told.detail.startswith("this ")
    assert breaking_glass._read(NodeAddress("", url, "bench"), 200, answer).is_good


def test_tls_by_a_certificate_that_is_renewed(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not know the authority sends no token; one that hangs holds up nobody."""
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    certificate, key = old.issue("edge", "127.0.0.1", file="edge")
    with opened(node, fresh(certificate, key)) as url:
        hanging = socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0])))
        with closing(hanging), httpx.Client(verify=trusting(old)) as client:
            assert client.get(url).status_code == 401
            told, = ask(monkeypatch, NodeAddress("edge-1", url))
            assert told.result is Reached.NOT_REACHED and "certificate" in told.detail
            new.issue("edge", "127.0.0.1", file="edge")
            assert httpx.get(url, verify=trusting(new)).status_code == 401
    assert node.gateway.journal() is None


def fresh(certificate: Path, key: Path) -> Fresh:
    files = [str(certificate), str(key)]
    return Fresh(files, lambda: trust.shown(*files))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca)


def test_each_node_is_said_what_came_of_it(
    node: Node, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is down, one of another name, one that is closed: the others are done."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    told = ask(
        monkeypatch, NodeAddress("edge-1", url, "bench"), NodeAddress("edge-2", url),
        NodeAddress("edge-3", f"http://127.0.0.1:{port}/break-glass"), NodeAddress("edge-4", ""))
    found = {each.node: each for each in told}
    # its Envoy does not run here
    assert found["edge-1"].result is Reached.UNCONFIRMED and not found["edge-1"].is_good
    assert found["edge-2"].result is Reached.REFUSED
    assert found["edge-3"].text.startswith("edge-3 was not reached: ")
    assert "no token there" in found["edge-4"].text
    assert node.gateway.journal() is not None


def test_without_the_right_token_no_node_is_reached(
    node: Node, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is said tells how to mend it, and not what the token is."""
    def said(token: str) -> str:
        told, = ask(monkeypatch, NodeAddress("edge-1", url), token=token)
        assert told.result is Reached.NOT_REACHED
        return told.text

    assert said("f" * 32).startswith("edge-1 was not reached: its token is another one")
    assert "no token is set ($CHANGEOVER_BREAK_GLASS_TOKEN, or" in said("")
    assert "(5 characters)" in (short := said("abcde")) and "abcde" not in short
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "token"))
    assert "cannot be read: No such file" in said("")
    assert "given twice" in said(TOKEN)
    assert node.gateway.journal() is None
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    told, = ask(monkeypatch, NodeAddress("", url), token="")
    assert told.node == "edge-1" and node.gateway.journal() is not None


def test_what_answers_there_may_be_something_else(
    monkeypatch: pytest.MonkeyPatch, node: Node
) -> None:
    """A page of a proxy is no node that did it."""
    from changeover.node.ready import ready

    port = free_port()
    with closing(ready(node.card, ("127.0.0.1", port))):
        told, = ask(monkeypatch, NodeAddress("edge-1", f"http://127.0.0.1:{port}/break-glass"))
    assert told.result is Reached.NOT_REACHED and "no gateway node" in told.detail

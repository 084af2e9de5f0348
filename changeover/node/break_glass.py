"""Breaking glass at a node from another machine, while the store is away: `POST /break-glass`.

1. Whoever asks shows the token, which is compared in constant time before anything is read. The
   right one always gets in: strangers at the same address (a proxy's) must not lock it out. What is
   limited is what wrong ones are told and what is logged of them.
2. The request names the node and the migration that are meant; another node does nothing.
3. A baseline that was retired and is not well gets nobody.
4. The node does what `changeover rollback --break-glass` with its home does: the journal, then the
   routes of the next epoch. Asked again, it answers that this was done already.
5. It is told to the store as whatever a node does without it (`own_moves`).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from changeover.console.limiting import SECONDS_EACH, Attempts
from changeover.domain.break_glass import LONGEST_BODY, BreakGlassCall, parse
from changeover.domain.own_moves import LOST
from changeover.errors import ChangeoverError, Refused
from changeover.gateway.publish import Gateway
from changeover.machine.trust import Fresh
from changeover.node.answering import Answers, Server, serve
from changeover.node.card import Card
from changeover.node.own_moves import OwnMoves
from changeover.procedures import retirement_note
from changeover.site.node_addresses import PATH

LOG = logging.getLogger("changeover.node")


@dataclass(frozen=True)
class Opening:
    """How a node's break glass is open to other machines.

    Args:
        address: Where it answers, (host, port).
        token: What whoever asks must show.
        url: Where other machines reach it.
        shown: The certificate that is shown; None for plain HTTP.
    """

    address: tuple[str, int]
    token: str
    url: str
    shown: Fresh | None = None


def open_to(opening: Opening, card: Card, gateway: Gateway, moves: OwnMoves) -> Server:
    """Answer whoever has the token from now on.

    Raises:
        EnvironmentProblem: The address cannot be used.
    """
    door = Door(opening.token)

    class Handler(_BreakGlass):
        pass

    Handler.door, Handler.desk = door, Desk(card, gateway, moves)
    return serve(opening.address, Handler, what="break glass", option="--break-glass",
                 shown=opening.shown)


class Door:
    """Lets in whoever has the token.

    Args:
        token: The token; only its digest is kept.
    """

    def __init__(self, token: str) -> None:
        self._digest = _digest(token)
        self._attempts, self._lock = Attempts(), threading.Lock()

    def lets_in(self, header: str) -> bool:
        """Whether a header `authorization` has the token."""
        scheme, _, text = header.strip().partition(" ")
        # digests: they are equally long, so that the time tells nothing of the token's length
        is_right = hmac.compare_digest(_digest(text.strip()), self._digest)
        return is_right and scheme.lower() == "bearer"

    def refuses(self, address: str) -> bool:
        """Count a wrong attempt; return whether there were too many from that address."""
        with self._lock:
            now = time.monotonic()
            is_too_much = self._attempts.wait(address, now) > 0
            self._attempts.count(address, now)
        return is_too_much


class Desk:
    """Sends a node's users to the baseline for somebody elsewhere.

    Args:
        card: What the node knows of itself.
        gateway: Its own.
        moves: Its own, too.
    """

    def __init__(self, card: Card, gateway: Gateway, moves: OwnMoves) -> None:
        self._card, self._gateway, self._moves = card, gateway, moves
        self._lock = threading.Lock()

    def standing(self) -> dict[str, Any]:
        """Return who this is and what would be done, for those who try the way beforehand."""
        who, journal = self._card.who, self._moves.journal
        return {"node": who.name, "migration": who.migration, "is_broken": journal is not None,
                "text": self._moves.text or "glass is not broken here; POST breaks it"}

    def carry_out(self, asked: BreakGlassCall, caller: str) -> dict[str, Any]:
        """Send all users to the baseline.

        Raises:
            Refused: Another node is meant, or the baseline was retired and is not well.
            EnvironmentProblem: The files cannot be written.
        """
        who = self._card.who
        if other := asked.why_not(who.name, who.migration):
            raise Refused(other)
        # one after the other: the second one finds what the first one did
        with self._lock:
            before = self._moves.journal
            is_already = before is not None and not before.get(LOST)
            if not is_already:
                self._refuse_retired(asked)
                LOG.warning("break glass by %s from %s: %s", asked.actor, caller, asked.reason)
            done = self._moves.make(asked.reason, actor=asked.actor, facts={})
        return {"node": who.name, "migration": who.migration, "is_already": is_already,
                "is_served": done.is_served, **done.entry}

    def _refuse_retired(self, asked: BreakGlassCall) -> None:
        retirement_note.refuse(self._gateway.files)
        # the note is on the main machine: without it only the baseline itself can tell
        if not asked.knows_baseline:
            retirement_note.refuse_unless_well(self._gateway.files)


class _BreakGlass(Answers):
    """One request."""

    door: Door
    desk: Desk

    def do_GET(self) -> None:  # noqa: N802  the name is that of http.server
        """Say that the way and the token are right, and do nothing."""
        if self._is_let_in():
            self.answer(200, self.desk.standing())

    def do_POST(self) -> None:  # noqa: N802  the name is that of http.server
        """Send all users to the baseline."""
        if not self._is_let_in():
            return
        try:
            asked = parse(self._body())
        except ValueError as error:
            self.answer(400, {"error": str(error)})
            return
        try:
            self.answer(200, self.desk.carry_out(asked, self.client_address[0]))
        except Refused as error:
            self.answer(409, {"error": str(error)})
        except ChangeoverError as error:
            self.answer(503, {"error": str(error)})

    def _is_let_in(self) -> bool:
        if self.path.partition("?")[0] != PATH:
            self.answer(404, {"error": f"only {PATH} is here"})
            return False
        if self.door.lets_in(self.headers.get("authorization", "")):
            return True
        address = self.client_address[0]
        if self.door.refuses(address):
            self.answer(429, {"error": "too many wrong tokens"},
                        retry_after=str(int(SECONDS_EACH)))
        else:
            LOG.warning("break glass was refused to %s: it has not the node's token", address)
            self.answer(401, {"error": "the node's token is needed, as `Authorization: Bearer`"},
                        www_authenticate='Bearer realm="changeover"')
        return False

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LONGEST_BODY:
            raise ValueError(f"a body of at most {LONGEST_BODY} bytes is needed, with its length")
        return self.rfile.read(int(length))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

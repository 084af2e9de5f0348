"""What both transports have in common: plain answers, long polling, callbacks, health, faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs

from examples.chat import web
from examples.chat.faults import BROKEN, FAULTS, TURNED_AWAY, UNAVAILABLE, Faults
from examples.chat.messages import SHADOW_HEADER, Chat, Message, call_back, is_name, parse
from examples.chat.sessions import Turn
from examples.chat.web import BadRequest, Receive, Scope, Send

LOG = logging.getLogger("examples.chat")
LONGEST_WAIT_SECONDS = 20.0
SWEEP_SECONDS = 0.5


class ChatService:
    """One of the two systems as an ASGI application.

    Args:
        chat: What answers.
        transports: What clients are told that it offers.
    """

    def __init__(self, chat: Chat, transports: str) -> None:
        self.chat, self.faults = chat, Faults()
        self._headers = {"x-served-by": chat.system, "x-chat-transports": transports}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_retired = chat.sessions.is_retired

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket, or the life of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self.websocket(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except BadRequest as error:
            await self.answer(send, {"error": str(error)}, 400)
        except sqlite3.OperationalError as error:
            LOG.warning("the database cannot be used: %s", error)
            await self.answer(send, {"error": "the conversations cannot be read now"}, 503)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by its method and path.

        Raises:
            BadRequest: It is not understood.
            sqlite3.OperationalError: The database cannot be used.
        """
        method, path = scope["method"], scope["path"]
        if self._is_retired and path.startswith("/api/"):
            await self.answer(send, {"error": "this transport is retired"}, 410)
            return
        if method == "GET" and path.startswith("/api/conversations/"):
            path = "/api/conversations"
        serves = {
            ("GET", "/health"): self._health, ("POST", "/api/chat"): self.chat_once,
            ("POST", "/api/messages"): self._accept, ("GET", "/api/messages"): self._poll,
            ("GET", "/api/conversations"): self._conversation,
            ("POST", "/admin/stop"): self._retire, ("POST", "/fault"): self._fault}
        serve = serves.get((method, path), self._unknown)
        await serve(scope, receive, send)

    async def _unknown(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self.answer(send, {"error": "not found"}, 404)

    async def answer(self, send: Send, content: Any, status: int = 200) -> None:
        """Send a whole answer, with who answered and what it offers."""
        await web.answer(send, status, content, self._headers)

    async def begin(self, send: Send, kind: str) -> None:
        """Begin an answer that follows in parts."""
        await web.begin(send, 200, kind, {**self._headers, "cache-control": "no-store"})

    async def message_of(self, scope: Scope, receive: Receive) -> Message:
        """Return the message of a request; one that is only a copy has no effects."""
        body = await web.body_of(receive)
        return parse(body, has_effects=not web.header(scope, SHADOW_HEADER))

    async def chat_once(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a message when the whole answer is there."""
        message = await self.message_of(scope, receive)
        if await self.failed(send):
            return
        turn = await self.chat.reply(message)
        self.call_back_later(message, turn)
        await self.answer(send, turn.as_json())

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a websocket."""
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    async def failed(self, send: Send) -> bool:
        """Let a message meet the fault that is on; return whether that was its end."""
        end = await self.faults.meet()
        if end == UNAVAILABLE:
            await self.answer(send, {"error": "out of order"}, 503)
        elif end == TURNED_AWAY:
            await self.answer(send, {"error": "too many messages"}, 429)
        elif end == BROKEN:
            await self.begin(send, "application/json")
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionResetError("the fault `errors` breaks answers off")
        return bool(end)

    async def _accept(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a message whose answer is asked for by long polling."""
        message = await self.message_of(scope, receive)
        if await self.failed(send):
            return
        if self.chat.sessions.accept(message.conversation, message.id, message.text):
            self._do(self._answer_later(message))
        await self.answer(send, {"id": message.id}, 202)

    async def _answer_later(self, message: Message) -> None:
        await self.chat.reply(message)

    async def _poll(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer with the turns after a number as soon as there are any."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        conversation = query.get("conversation", [""])[0]
        if not is_name(conversation):
            raise BadRequest("conversation is the name of one")
        try:
            after = int(query.get("after", ["0"])[0])
            wait = min(float(query.get("wait", ["10"])[0]), LONGEST_WAIT_SECONDS)
        except ValueError:
            raise BadRequest("after and wait are numbers") from None
        if self.faults.kind == "hang":
            await self.faults.meet()
        turns = [turn async for turn in self.chat.watch(conversation, after, wait)]
        await self.answer(send, [turn.as_json() for turn in turns])

    async def _conversation(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer with what a conversation consists of."""
        if self.faults.kind in ("few_errors", "hang") and await self.failed(send):
            return
        turns = self.chat.sessions.turns(scope["path"].rpartition("/")[2])
        await self.answer(send, {
            "turns": [{"number": turn.number, "id": turn.id, "state": turn.state}
                      for turn in turns]})

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        # other faults leave the probe alone: only users' requests show them
        if self.faults.kind == "hang":
            await self.faults.meet()
        await self.answer(send, {"status": "healthy", "system": self.chat.system})

    async def _retire(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer no user any more: the last step of the migration."""
        # only where the operator reaches it: the gateway adds this header
        if web.header(scope, "x-forwarded-for"):
            await self._unknown(scope, receive, send)
            return
        self.chat.sessions.retire()
        self._is_retired = True
        await self.answer(send, {"status": "retired"})

    async def _fault(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin or end a fault; without the demo's token there is no such address."""
        if not web.is_allowed(scope):
            await self._unknown(scope, receive, send)
            return
        try:
            kind = json.loads(await web.body_of(receive)).get("kind", "")
        except (ValueError, AttributeError):
            raise BadRequest('a fault is a JSON object such as {"kind": "none"}') from None
        if kind not in FAULTS and kind != "none":
            raise BadRequest(f"unknown fault {kind!r}; allowed are none, {', '.join(FAULTS)}")
        self.faults.begin(kind)
        await self.answer(send, {"fault": kind})

    def call_back_later(self, message: Message, turn: Turn) -> None:
        """Tell the client's own address the answer, if it gave one; nobody waits for it."""
        if message.callback and message.has_effects:
            self._do(self._call_back(turn.conversation, turn.id, message.callback))

    async def _call_back(self, conversation: str, id_: str, url: str) -> None:
        await call_back(self.chat, conversation, id_, url)
        if self.faults.kind == "callbacks":
            await call_back(self.chat, conversation, id_, url, f"{conversation}/{id_}/again")

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that no request waits for."""
        task = asyncio.create_task(work)
        # asyncio itself holds tasks only weakly: one that nobody holds may vanish
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Do what other processes left undone, from the start to the end of this one."""
        await receive()
        sweeping = asyncio.create_task(self._sweep())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        # what was accepted is answered before the end; others would do it after the lease
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        await send({"type": "lifespan.shutdown.complete"})

    async def _sweep(self) -> None:
        """Answer messages, and make callbacks, that whoever took them did not finish."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            if self.faults.kind == "hang":
                continue
            try:
                for conversation, id_, text in self.chat.sessions.left_over():
                    if self.chat.sessions.accept(conversation, id_, text):
                        await self.chat.reply(Message(conversation, id_, text))
                for conversation, id_, url in self.chat.sessions.due_callbacks():
                    await call_back(self.chat, conversation, id_, url)
            except sqlite3.OperationalError as error:
                LOG.warning("nothing was swept up: %s", error)

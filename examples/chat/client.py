"""A client that converses, and notices when messages are lost, doubled or mixed up.

It uses the best transport that it knows and that the system offered with its last answer. A message
that brought no answer is sent again once, under its own id, as a plain request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from examples.chat.sessions import next_state

TIMEOUT_SECONDS = 6.0
POLL_SECONDS = 4
KINDS = ("json", "polling", "callback", "sse", "websocket")
"""What clients speak; every client also understands a whole answer."""


class NoAnswer(Exception):
    """A message brought no answer; its text is the reason in one word."""


@dataclass
class Told:
    """What came back for one message.

    Args:
        answers: Whole answers, each with its turn: one, if nothing is wrong.
        system: Who answered.
        transport: What it came by.
        first_at: When the first piece was there, on the clock of `time.monotonic`.
        events: How many events a stream had; 0 for a whole answer.
    """

    answers: list[dict[str, Any]]
    system: str
    transport: str
    first_at: float
    events: int = 0


@dataclass
class Delivery:
    """How one message went.

    Args:
        told: What came back; None when nothing did.
        began: When it was sent, on the clock of `time.monotonic`.
        seconds: From the first attempt to the whole answer.
        flaws: What was wrong with it, as `lost` or `doubled`.
        failures: Why attempts brought nothing.
        is_moved: Whether another system answered than the message before in this conversation.
    """

    told: Told | None
    began: float
    seconds: float
    flaws: list[str]
    failures: list[str] = field(default_factory=list)
    is_moved: bool = False


@dataclass
class Conversation:
    """What the client knows of its conversation.

    Args:
        name: Name of the conversation.
        number: Number of its newest turn.
        state: State after that turn.
        system: Who answered it; empty before the first.
        sent: Ids of all messages that were answered, in order.
    """

    name: str
    number: int = 0
    state: str = ""
    system: str = ""
    sent: list[str] = field(default_factory=list)

    def take(self, id_: str, answers: list[dict[str, Any]]) -> list[str]:
        """Add a turn as it was told, and return what is wrong with it."""
        flaws = ["doubled"] if len(answers) > 1 else []
        turn = answers[0]
        number, state = int(turn["number"]), str(turn["state"])
        if turn["id"] != id_:
            flaws.append("mixed_up")
        # an earlier number again: what was told before is not there any more
        if number <= self.number:
            flaws.append("lost")
        elif number > self.number + 1:
            flaws.append("doubled")
        elif state != next_state(self.state, number, id_, str(turn["answer"])):
            flaws.append("state_lost")
        # one mistake is counted once: the next turn is held against what there is now
        self.number, self.state = number, state
        self.sent.append(id_)
        return list(dict.fromkeys(flaws))


class Client:
    """One user's client.

    Args:
        session: Connections to the gateway.
        url: Address of the gateway.
        user: The user's key.
        kind: What it speaks.
        headers: Headers beside the key's, as the cohort.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, user: str, kind: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._session, self._url, self.user, self.kind = session, url, user, kind
        self._headers = {"x-user-id": user, **(headers or {})}
        self.segments = ["beta"] if "x-cohort" in self._headers else []
        self._offered = ""
        self._talks = 0
        self.talk = Conversation("")
        self.callback_url: Callable[[str, str], str] | None = None
        self.begin()

    def begin(self) -> None:
        """Begin a new conversation."""
        self._talks += 1
        # with the time: the database may know conversations of a run before this one
        self.talk = Conversation(f"{self.user}-{int(time.time() * 1000)}-{self._talks}")

    async def say(self, text: str) -> Delivery:
        """Send a message and return how it went; one that brought nothing is sent again once."""
        id_ = f"m{len(self.talk.sent) + 1}-{time.monotonic_ns()}"
        began, failures = time.monotonic(), list[str]()
        for transport in (self._transport(), "json"):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    told = await self._by(transport, id_, text)
                break
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, NoAnswer) as error:
                why = str(error) if isinstance(error, NoAnswer) else type(error).__name__
                failures.append(f"{transport}_{why}")
                await asyncio.sleep(0.1)
        else:
            return Delivery(None, began, time.monotonic() - began, ["unanswered"], failures)
        seconds = time.monotonic() - began
        is_moved = self.talk.system not in ("", told.system)
        self.talk.system = told.system
        flaws = self.talk.take(id_, told.answers)
        return Delivery(told, began, seconds, flaws, failures, is_moved)

    async def missing(self) -> Counter[str]:
        """Return how the conversation in the database differs from what the client was told.

        Raises:
            aiohttp.ClientError: It cannot be asked.
        """
        async with self._session.get(
            f"{self._url}/api/conversations/{self.talk.name}", headers=self._headers
        ) as answer:
            stored = [turn["id"] for turn in (await answer.json())["turns"]]
        kept, sent = Counter(stored), Counter(self.talk.sent)
        return Counter(lost=(sent - kept).total(), doubled=(kept - sent).total(),
                       out_of_order=int(kept == sent and stored != self.talk.sent))

    def _transport(self) -> str:
        # a stream is only tried where it was offered: the old system knows none
        if self.kind == "websocket" and "websocket" not in self._offered:
            return "sse"
        return self.kind

    async def _by(self, transport: str, id_: str, text: str) -> Told:
        message = {"conversation": self.talk.name, "id": id_, "text": text}
        if transport == "websocket":
            return await self._by_websocket(message)
        if transport == "polling":
            return await self._by_polling(message)
        if transport == "callback" and self.callback_url:
            message["callback"] = self.callback_url(self.talk.name, id_)
        accept = "text/event-stream, application/json" if transport == "sse" else "application/json"
        async with self._session.post(
            f"{self._url}/api/chat", json=message, headers={**self._headers, "accept": accept}
        ) as answer:
            self._check(answer)
            if answer.content_type == "text/event-stream":
                return await self._of_events(_sse(answer), answer.headers, "sse")
            found = await answer.json()
            return Told([found], self._by_whom(answer.headers), transport, time.monotonic())

    async def _by_polling(self, message: dict[str, str]) -> Told:
        async with self._session.post(
            f"{self._url}/api/messages", json=message, headers=self._headers
        ) as answer:
            self._check(answer)
            await answer.read()
        query = {"conversation": message["conversation"], "after": str(self.talk.number),
                 "wait": str(POLL_SECONDS)}
        async with self._session.get(
            f"{self._url}/api/messages", params=query, headers=self._headers
        ) as answer:
            self._check(answer)
            found = await answer.json()
        if not found:
            raise NoAnswer("silence")
        return Told(found, self._by_whom(answer.headers), "polling", time.monotonic())

    async def _by_websocket(self, message: dict[str, str]) -> Told:
        """Open a websocket for one message: the next one may be for the other system."""
        async with self._session.ws_connect(
            f"{self._url}/api/ws", headers=self._headers, max_msg_size=1 << 20
        ) as socket:
            await socket.send_str(json.dumps(message))
            headers = getattr(socket, "_response").headers  # noqa: B009  aiohttp shows it nowhere
            return await self._of_events(_messages(socket), headers, "websocket")

    async def _of_events(self, events: Any, headers: Any, transport: str) -> Told:
        """Put a stream of events together; it must end as it should."""
        parts, found, count, first_at = [], list[dict[str, Any]](), 0, 0.0
        async for event in events:
            count += 1
            if event["type"] == "TEXT_MESSAGE_CONTENT":
                first_at = first_at or time.monotonic()
                parts.append(event["delta"])
            elif event["type"] == "STATE_SNAPSHOT":
                found.append(event["snapshot"])
            elif event["type"] == "RUN_FINISHED":
                break
        else:
            raise NoAnswer("broke_off")
        answers = [{**turn, "answer": "".join(parts)} for turn in found]
        return Told(answers, self._by_whom(headers), transport, first_at, count)

    def _check(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status >= 400:
            raise NoAnswer(str(answer.status))

    def _by_whom(self, headers: Any) -> str:
        self._offered = headers.get("x-chat-transports", "")
        return str(headers.get("x-served-by", "nobody"))


async def _sse(answer: aiohttp.ClientResponse) -> Any:
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


async def _messages(socket: aiohttp.ClientWebSocketResponse) -> Any:
    with contextlib.suppress(asyncio.CancelledError):
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                yield json.loads(message.data)

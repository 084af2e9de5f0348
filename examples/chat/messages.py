"""Messages as clients send them, and what both transports do with one: answer it, and save it."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from examples.chat.engine import Answer, Engine, speak
from examples.chat.sessions import Sessions, Turn, following
from examples.chat.web import BadRequest

SHADOW_HEADER = "x-changeover-shadow"
"""A copy for comparison carries it: it is answered without any effect."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Message:
    """What a client sends.

    Args:
        conversation: Name of the conversation.
        id: The client's name for the message: sent again, it is the same message.
        text: The question.
        callback: Address on this machine that is told the answer; empty for none.
        has_effects: False for a copy of another system's request.
    """

    conversation: str
    id: str
    text: str
    callback: str = ""
    has_effects: bool = True


def parse(body: bytes | str, *, has_effects: bool = True) -> Message:
    """Return a message.

    Raises:
        BadRequest: It is not one; the text says why.
    """
    try:
        found = json.loads(body)
        # half of a surrogate pair is JSON and can be neither stored nor sent
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadRequest("a message is a JSON object") from None
    if not isinstance(found, dict):
        raise BadRequest("a message is a JSON object")
    names = {name: found.get(name) for name in ("conversation", "id")}
    for name, value in names.items():
        if not is_name(value):
            raise BadRequest(f"{name} is a name of 1 to 100 letters, digits and . _ : -")
    text = found.get("text")
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise BadRequest(f"text is a question of 1 to {LONGEST} characters")
    callback = found.get("callback") or ""
    if callback and urlsplit(str(callback)).hostname != "127.0.0.1":
        raise BadRequest("callback is an address on 127.0.0.1")
    return Message(str(names["conversation"]), str(names["id"]), text, str(callback), has_effects)


def is_name(value: object) -> bool:
    """Whether something is the name of a conversation or a message."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


class Chat:
    """Answers messages, whichever transport brings them.

    Args:
        system: Which system this is.
        sessions: The conversations.
        engine: What knows the answers.
    """

    def __init__(self, system: str, sessions: Sessions, engine: Engine | None = None) -> None:
        self.system, self.sessions = system, sessions
        self._engine = engine or Engine()

    def known(self, message: Message) -> Turn | None:
        """Return the turn of a message that was answered before, by whichever system."""
        if not message.has_effects:
            return None
        return self.sessions.turn(message.conversation, message.id)

    def think(self, message: Message) -> Answer:
        """Return the answer to a message after all turns before it."""
        last = self._last(message)
        return self._engine.answer(message.text, last.topic if last else "")

    def finish(self, message: Message, answer: Answer) -> Turn:
        """Save the turn of a message that was answered, or of a copy only say what it would be."""
        turn = Turn(message.conversation, 0, message.id, message.text, answer.text, answer.topic,
                    "\n".join(answer.sources), "", self.system)
        if message.has_effects:
            return self.sessions.save(turn, message.callback)
        return following(self._last(message), turn, self.system)

    def _last(self, message: Message) -> Turn | None:
        # a copy comes when the original has its turn already: what was before that one counts
        return self.sessions.before(message.conversation, message.id)

    async def reply(self, message: Message) -> Turn:
        """Return the turn of a message when the whole answer is said."""
        if (known := self.known(message)) is not None:
            return known
        answer = self.think(message)
        async for _ in speak(answer):
            pass
        return self.finish(message, answer)

    async def watch(self, conversation: str, after: int, seconds: float) -> AsyncIterator[Turn]:
        """Yield the turns after number `after` as soon as there are any, or nothing in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        # the other system may write it: only the database knows
        while not (found := self.sessions.turns(conversation, after)) and loop.time() < until:
            await asyncio.sleep(0.02)
        for turn in found:
            yield turn


async def call_back(chat: Chat, conversation: str, id_: str, url: str, key: str = "") -> None:
    """Tell a client the answer at its own address, once: whoever takes the callback makes it.

    Args:
        chat: Where the turn is.
        conversation: The conversation.
        id_: The message.
        url: The client's address.
        key: By which the client knows a repetition; by default the message's own.
    """
    turn = chat.sessions.turn(conversation, id_)
    if turn is None or not (key or chat.sessions.take_callback(conversation, id_)):
        return
    body = json.dumps(turn.as_json(), ensure_ascii=False).encode()
    is_done = await asyncio.to_thread(_post, url, body, key or f"{conversation}/{id_}")
    # else somebody makes it again when the lease is over, under the same key
    if is_done and not key:
        chat.sessions.end_callback(conversation, id_)


def _post(url: str, body: bytes, key: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=2)
    try:
        connection.request("POST", parts.path or "/", body, {
            "content-type": "application/json", "idempotency-key": key})
        return connection.getresponse().status < 300
    except OSError:
        return False
    finally:
        connection.close()

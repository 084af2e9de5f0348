"""One stream of events for each message, and what each transport makes of it.

The events have the names and fields of AG-UI: a run, a text message in parts, a snapshot of the
state. The core knows no transport, and a transport nothing of answers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from examples.chat.engine import speak
from examples.chat.faults import Faults
from examples.chat.messages import Chat, Message

Event = dict[str, Any]


async def run(chat: Chat, message: Message, faults: Faults) -> AsyncIterator[Event]:
    """Yield the events of one message: it is saved before its end is told."""
    ids = {"threadId": message.conversation, "runId": message.id}
    of_message = {"messageId": message.id}
    # asked before anything is waited for: other messages may meet the fault meanwhile
    flaws = {kind: faults.is_on(kind) for kind in ("lost", "doubled", "wrong")}
    yield {"type": "RUN_STARTED", **ids}
    yield {"type": "TEXT_MESSAGE_START", **of_message, "role": "assistant"}
    turn = chat.known(message)
    if turn is None:
        asked = message
        if flaws["wrong"]:
            asked = replace(message, text="Which metrics does Prometheus get?")
        answer = chat.think(asked)
        async for piece in speak(answer):
            yield {"type": "TEXT_MESSAGE_CONTENT", **of_message, "delta": piece}
        is_saved = message.has_effects and not flaws["lost"]
        turn = chat.finish(replace(message, has_effects=is_saved), answer)
        if flaws["doubled"] and is_saved:
            chat.finish(replace(message, id=f"{message.id}-again", callback=""), answer)
    else:
        yield {"type": "TEXT_MESSAGE_CONTENT", **of_message, "delta": turn.answer}
    yield {"type": "TEXT_MESSAGE_END", **of_message}
    snapshot = {name: value for name, value in turn.as_json().items() if name != "answer"}
    for _ in range(1 + flaws["doubled"]):
        yield {"type": "STATE_SNAPSHOT", "snapshot": snapshot}
    yield {"type": "RUN_FINISHED", **ids}


async def collected(events: AsyncIterator[Event]) -> dict[str, Any]:
    """Return the events as the one answer that a plain request gets."""
    parts, found = [], dict[str, Any]()
    async for event in events:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            parts.append(event["delta"])
        elif event["type"] == "STATE_SNAPSHOT":
            found = event["snapshot"]
    return {**found, "answer": "".join(parts)}


def as_sse(event: Event) -> bytes:
    """Return an event as one of `text/event-stream`."""
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def as_text(event: Event) -> str:
    """Return an event as the text of one websocket message."""
    return json.dumps(event, ensure_ascii=False)



"""The new system: one core of events, brought by server-sent events, websockets, or as before.

    python -m examples.chat.agnostic --port 8302

`POST /api/chat` streams to clients that accept `text/event-stream`, and answers all others whole;
`/api/ws` takes one message after the other; long polling and callbacks work as in the old system.
"""

from __future__ import annotations

import sqlite3

from examples.chat.events import as_sse, as_text, collected, run
from examples.chat.faults import BROKEN
from examples.chat.messages import Chat, Message, parse
from examples.chat.service import ChatService
from examples.chat.sessions import Sessions
from examples.chat.web import BadRequest, Receive, Scope, Send, database, header, serve


class AgnosticService(ChatService):
    """Brings the events of the core by whatever the client speaks."""

    async def chat_once(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a message: as a stream where the client accepts one, else whole."""
        message = await self.message_of(scope, receive)
        if await self.failed(send):
            return
        if "text/event-stream" in header(scope, "accept"):
            await self._stream(message, send)
        else:
            await self.answer(send, await collected(run(self.chat, message, self.faults)))
        self._told(message)

    async def _stream(self, message: Message, send: Send) -> None:
        await self.begin(send, "text/event-stream")
        waiting = b""
        async for event in run(self.chat, message, self.faults):
            waiting += as_sse(event)
            # what comes at the same moment is sent as one
            if event["type"] == "TEXT_MESSAGE_CONTENT":
                await send({"type": "http.response.body", "body": waiting, "more_body": True})
                waiting = b""
        await send({"type": "http.response.body", "body": waiting})

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer messages until the client has no more of them."""
        await receive()
        if scope["path"] != "/api/ws":
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept", "headers": [
            (name.encode(), value.encode()) for name, value in self._headers.items()]})
        while (got := await receive())["type"] == "websocket.receive":
            if not await self._answer_text(got.get("text") or "", send):
                return

    async def _answer_text(self, text: str, send: Send) -> bool:
        """Send the events of one message; return whether the connection goes on."""
        if end := await self.faults.meet():
            code = 1011 if end == BROKEN else 1013
            await send({"type": "websocket.close", "code": code, "reason": end})
            return False
        try:
            message = parse(text)
            async for event in run(self.chat, message, self.faults):
                await send({"type": "websocket.send", "text": as_text(event)})
        except BadRequest as error:
            failure = {"type": "RUN_ERROR", "message": str(error)}
            await send({"type": "websocket.send", "text": as_text(failure)})
            return True
        except sqlite3.OperationalError:
            await send({"type": "websocket.close", "code": 1013})
            return False
        self._told(message)
        return True

    def _told(self, message: Message) -> None:
        turn = self.chat.known(message)
        if turn is not None:
            self.call_back_later(message, turn)


def make() -> AgnosticService:
    """Return the application."""
    chat = Chat("candidate", Sessions(database(), "candidate"))
    return AgnosticService(chat, "json, polling, sse, websocket")


if __name__ == "__main__":
    serve(make, "The new chat transport: one core, streamed by SSE and websockets.")

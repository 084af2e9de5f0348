"""The old system: a request and its whole answer, long polling, or one callback.

    python -m examples.chat.legacy --port 8301
"""

from __future__ import annotations

from examples.chat.messages import Chat
from examples.chat.service import ChatService
from examples.chat.sessions import Sessions
from examples.chat.web import database, serve


def make() -> ChatService:
    """Return the application."""
    return ChatService(Chat("baseline", Sessions(database(), "baseline")), "json, polling")


if __name__ == "__main__":
    serve(make, "The old chat transport: whole answers, long polling, callbacks.")

"""The help desk: it takes complaints, and says how their number compares with the usual.

    python -m examples.chat.helpdesk --port 8303

What is usual is known from before: complaints for each message that was answered in the thirty
windows before the present one. So it does not matter which share of the users a system has.
"""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any
from urllib.parse import parse_qs

from examples.chat import web
from examples.chat.sessions import Sessions
from examples.chat.web import BadRequest, Receive, Scope, Send

WINDOWS_BEFORE = 30
LEAST_EXPECTED = 1.0
"""Fewer complaints than one are never expected: a single one is no spike."""
_TABLE = """
CREATE TABLE IF NOT EXISTS complaints (
  at REAL NOT NULL, system TEXT NOT NULL, user TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS complaints_at ON complaints (at);
"""


class HelpDesk:
    """The service.

    Args:
        sessions: The conversations: how many messages there were.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._database = sqlite3.connect(web.database(), isolation_level=None, timeout=5)
        self._database.executescript(_TABLE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        try:
            status, content = await self._answer(scope, receive)
        except (BadRequest, ValueError, KeyError) as error:
            status, content = 400, {"error": f"not understood: {error}"}
        await web.answer(send, status, content)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        place = scope["method"], scope["path"]
        if place == ("GET", "/health"):
            return 200, {"status": "healthy"}
        if place == ("POST", "/complaints"):
            found = json.loads(await web.body_of(receive))
            self.add(str(found["system"]), str(found["user"]), str(found["text"])[:500])
            return 201, {"status": "taken"}
        if place == ("GET", "/volume"):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            return 200, self.volume(query["system"][0], float(query["seconds"][0]))
        return 404, {"error": "not found"}

    def add(self, system: str, user: str, text: str) -> None:
        """Take a complaint of a user whom a system answered."""
        self._database.execute(
            "INSERT INTO complaints VALUES (?, ?, ?, ?)", (time.time(), system, user, text))

    def volume(self, system: str, seconds: float) -> dict[str, Any]:
        """Return how many times as many complaints as usual a system got in the last `seconds`.

        `ratio` is null while nothing is known of what is usual.
        """
        now = time.time()
        begin, before = now - seconds, now - seconds * (1 + WINDOWS_BEFORE)
        messages = self._sessions.answered(system, begin, now)
        usual_messages = self._sessions.answered("", before, begin)
        complaints = self._count(system, begin, now)
        ratio = None
        if messages and usual_messages:
            usual = self._count("", before, begin) / usual_messages
            ratio = complaints / max(LEAST_EXPECTED, usual * messages)
        return {"ratio": ratio, "complaints": complaints, "messages": messages, "measured_at": now}

    def _count(self, system: str, since: float, until: float) -> int:
        row = self._database.execute(
            "SELECT count(*) FROM complaints WHERE at >= ? AND at < ? AND (system = ? OR ? = '')",
            (since, until, system, system)).fetchone()
        return int(row[0])


def make() -> HelpDesk:
    """Return the application."""
    return HelpDesk(Sessions(web.database(), "helpdesk"))


if __name__ == "__main__":
    web.serve(make, "The help desk: complaints, and how many are usual.")

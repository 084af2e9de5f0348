"""What users' clients tell others: callbacks that came, outcomes for the console, complaints."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web

from examples.chat.client import Client, Delivery
from examples.shared.load import fault

CONSOLE_VARIABLE, TOKEN_VARIABLE = "CONSOLE_URL", "CONSOLE_TOKEN"
HELPDESK_VARIABLE = "SERVICE_HELPDESK_URL"
HELPDESK = "http://127.0.0.1:8303"
CALLBACK_SECONDS = 6.0
"""A callback that did not come within this time is missing."""
MOST_ASKED = 5_000
USUAL_EVERY = 50
"""One message of so many makes its user complain, whatever system it was."""
SPIKE_EVERY = 2
"""With the fault `complaints`, one of so many of the candidate's messages does."""


class Callbacks:
    """An address of the users' own to which answers are told, and what came there."""

    def __init__(self) -> None:
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._came: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._expected: dict[str, float] = {}
        self._asked: dict[str, tuple[Client, str]] = {}
        self._twice: list[str] = []
        self._counts: Counter[str] = Counter()

    async def __aenter__(self) -> Callbacks:
        app = web.Application()
        app.router.add_post("/callback/{conversation}/{id}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def url(self, conversation: str, id_: str) -> str:
        """Return the address for the answer to one message."""
        return f"http://127.0.0.1:{self._port}/callback/{quote(conversation)}/{quote(id_)}"

    def expect(self, client: Client, system: str) -> None:
        """Note that the answer to a client's newest message must come here once."""
        item = f"{client.talk.name}/{client.talk.sent[-1]}"
        self._expected[item] = time.monotonic()
        self._asked[item] = (client, system)
        # the latest only: a second one comes soon
        for old in list(self._asked)[:-MOST_ASKED]:
            del self._asked[old]

    def take_twice(self) -> list[tuple[Client, str]]:
        """Return who was told an answer twice since the last call, and by which system."""
        known = [item for item in self._twice if item in self._asked]
        # told before the answer itself was there: the next call knows whose it was
        self._twice = [item for item in self._twice if item not in self._asked][-MOST_ASKED:]
        return [self._asked[item] for item in known]

    async def _take(self, request: web.Request) -> web.Response:
        told = await request.json()
        item = f"{told['conversation']}/{told['id']}"
        key = request.headers.get("idempotency-key", item)
        # the same key is a repetition after a lost answer, which a client must bear
        if key not in self._keys:
            self._keys.add(key)
            self._came[item] += 1
            self._counts["callbacks"] += 1
            if self._came[item] == 2:
                self._counts["callbacks_twice"] += 1
                self._twice.append(item)
        return web.Response(status=204)

    def figures(self) -> dict[str, int]:
        """Return how many callbacks came, came twice, or did not come in time."""
        now = time.monotonic()
        for item in list(self._expected):
            if self._came[item]:
                del self._expected[item]
        late = sum(1 for at in self._expected.values() if now - at > CALLBACK_SECONDS)
        return {"callbacks": self._counts["callbacks"],
                "callbacks_twice": self._counts["callbacks_twice"], "callbacks_missing": late}


class Reports:
    """Outcomes for the console, in batches, and complaints for the help desk.

    Without a token of the console nothing is reported to it.
    """

    def __init__(self) -> None:
        self._outcomes: list[dict[str, Any]] = []
        self._complaints: list[dict[str, str]] = []
        self._counts: Counter[str] = Counter()
        self._number = 0
        self._run = f"{time.time_ns():x}"
        self._session: aiohttp.ClientSession | None = None

    def message(self, client: Client, system: str, delivery: Delivery) -> None:
        """Note how a message went, and whether its user complains.

        Args:
            client: The user's client.
            system: Who answered.
            delivery: How it went.
        """
        self._number += 1
        told = delivery.told
        is_good = not delivery.flaws
        quality = {"resolved": float(is_good and told is not None),
                   "talk_turns": float(told.answers[0]["number"]) if told else 0.0}
        if told is not None and told.events:
            quality["events"] = float(told.events)
        self._outcomes.append({
            "id": f"{self._run}-{self._number}", "system": system, "success": is_good,
            "seconds": delivery.seconds, "key": client.user, "segments": client.segments,
            "quality": quality})
        is_usual = self._number % USUAL_EVERY == 0
        is_spike = (fault() == "complaints" and system == "candidate"
                    and self._number % SPIKE_EVERY == 0)
        if is_usual or is_spike or not is_good:
            why = ", ".join(delivery.flaws) or "the answer did not help"
            self._complaints.append({"system": system, "user": client.user, "text": why})

    def told_twice(self, client: Client, system: str) -> None:
        """Note that a user's own system was told an answer twice, as after a message of its own."""
        self._number += 1
        self._outcomes.append({
            "id": f"{self._run}-{self._number}", "system": system, "success": False,
            "key": client.user, "segments": client.segments})

    async def send(self) -> None:
        """Send what was noted; what cannot be sent now is sent with the next call."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3))
        try:
            await self._send_complaints(self._session)
            await self._send_outcomes(self._session)
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._counts["not_reported"] += 1
        # the newest only: a console that is away for long must not fill the memory
        del self._outcomes[:-5_000], self._complaints[:-500]

    async def _send_outcomes(self, session: aiohttp.ClientSession) -> None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            self._outcomes.clear()
        while self._outcomes:
            batch = self._outcomes[:500]
            console = os.environ.get(CONSOLE_VARIABLE, "http://127.0.0.1:8190")
            async with session.post(
                f"{console}/v1/outcomes", json=batch,
                headers={"authorization": f"Bearer {token}"}
            ) as answer:
                answer.raise_for_status()
            del self._outcomes[:len(batch)]
            self._counts["outcomes"] += len(batch)

    async def _send_complaints(self, session: aiohttp.ClientSession) -> None:
        desk = os.environ.get(HELPDESK_VARIABLE, HELPDESK)
        while self._complaints:
            async with session.post(f"{desk}/complaints", json=self._complaints[0]) as answer:
                answer.raise_for_status()
            del self._complaints[0]
            self._counts["complaints"] += 1

    def figures(self) -> dict[str, int]:
        """Return how much was reported."""
        return dict(self._counts)

    async def close(self) -> None:
        """Send the rest and close the connections."""
        await self.send()
        if self._session is not None:
            await self._session.close()

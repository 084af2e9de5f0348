"""Stands for GitHub where issues come from: delivers signed events in an open loop.

    WEBHOOK_SECRET=… python -m examples.agents.load --url http://127.0.0.1:8404 --rate 3

Among the events of new issues are those of real life: a delivery that comes twice, an action that
nobody works on, and one that GitHub did not sign. What is refused with 502 or 503, or gets no
answer, is delivered again, as GitHub's *Redeliver* does. An issue that is never done has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from examples.agents.events import ACTIONS, signature_of
from examples.agents.issues import event
from examples.agents.settings import webhook_secret

AGAIN_SECONDS = 1.0
PATIENCE_SECONDS = 90.0
"""An issue that is not done by then has failed."""
TWICE, IGNORED, FORGED = 0.08, 0.08, 0.04
"""Shares of deliveries that come twice, are of another action, are not signed by GitHub."""
LATER = (502, 503)
MOST_UNDER_WAY = 20
"""Issues that are not done; while there are so many, no further one is opened."""
RECEIVER_VARIABLE = "SERVICE_RECEIVER_URL"


class Load:
    """Delivers events of new issues.

    Args:
        url: Address of the receiver; loopback only.
        rate: New issues per second.
        repositories: From how many repositories they come.
        secret: What deliveries are signed with.
        stats: File that is replaced with the figures every second; None for none.
    """

    def __init__(
        self, url: str, *, rate: float, repositories: int, secret: str, stats: Path | None = None
    ) -> None:
        self.url, self.rate, self.stats = url.rstrip("/"), rate, stats
        self.repositories, self.stop = repositories, asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.done_by: Counter[str] = Counter()
        self._secret, self._random = secret, random.Random(1)

    async def run(self) -> None:
        """Deliver until `stop` is set; then wait for the last answers."""
        limits = httpx.Limits(max_connections=4 * MOST_UNDER_WAY)
        async with httpx.AsyncClient(
            base_url=self.url, timeout=70, limits=limits, trust_env=False
        ) as client:
            pending: set[asyncio.Task[None]] = set()
            began, number, told = time.monotonic(), 0, 0.0
            while not self.stop.is_set():
                await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                number += 1
                if time.monotonic() - told >= 1:
                    told = time.monotonic()
                    self.tell()
                # people who wait for answers open no further issues
                if len(pending) >= MOST_UNDER_WAY:
                    self.counts["left_out"] += 1
                    continue
                task = asyncio.create_task(self._issue(client, number))
                # asyncio itself holds tasks only weakly: one that nobody holds may vanish
                pending.add(task)
                task.add_done_callback(pending.discard)
            if pending:
                await asyncio.wait(pending, timeout=20)
            self.tell()

    async def _issue(self, client: httpx.AsyncClient, number: int) -> None:
        """Deliver what happens to one issue, and whatever comes along with it."""
        repository = f"acme/parcels-{number % self.repositories + 1}"
        chance = self._random.random()
        if chance < FORGED:
            await self._expect(client, event(number, "opened", repository), 401, "somebody else's")
        elif chance < FORGED + IGNORED:
            await self._expect(client, event(number, "closed", repository), 200, self._secret)
        body, delivery = event(number, self._random.choice(ACTIONS), repository), str(uuid.uuid4())
        deliveries = [self._until_done(client, body, delivery)]
        if self._random.random() < TWICE:
            deliveries.append(self._until_done(client, body, delivery))
        found = await asyncio.gather(*deliveries)
        self.counts["answered"] += 1
        if found.count("done") > 1:
            self.counts["failed_twice"] += 1
        elif not {"done", "answer lost"} & set(found):
            self.counts["failed_issue"] += 1

    async def _until_done(
        self, client: httpx.AsyncClient, body: dict[str, Any], delivery: str
    ) -> str:
        """Deliver an event until it is done, or for as long as there is patience."""
        until, status, is_lost = time.monotonic() + PATIENCE_SECONDS, "never done", False
        while time.monotonic() < until:
            answer = await self._deliver(client, body, self._secret, delivery)
            if answer is not None and answer.status_code not in LATER:
                document = answer.json() if answer.is_success else {}
                status = str(document.get("status", answer.status_code))
                self.done_by[str(document.get("system", "nobody"))] += status == "done"
                return "answer lost" if is_lost and status == "not done" else status
            # it may have been done all the same
            is_lost = is_lost or answer is None
            self.counts["lost" if answer is None else "later"] += 1
            await asyncio.sleep(AGAIN_SECONDS)
        return status

    async def _expect(
        self, client: httpx.AsyncClient, body: dict[str, Any], status: int, secret: str
    ) -> None:
        """Deliver what must be answered in this way, and be without effect."""
        answer = await self._deliver(client, body, secret, str(uuid.uuid4()))
        if answer is not None and answer.status_code != status:
            self.counts["failed_refusal"] += answer.status_code not in LATER

    async def _deliver(
        self, client: httpx.AsyncClient, body: dict[str, Any], secret: str, delivery: str
    ) -> httpx.Response | None:
        """Deliver an event once, as GitHub does; None without an answer."""
        content = json.dumps(body).encode()
        headers = {
            "content-type": "application/json", "user-agent": "GitHub-Hookshot/1",
            "x-github-event": "issues", "x-github-delivery": delivery,
            "x-hub-signature-256": signature_of(content, secret)}
        self.counts["sent"] += 1
        try:
            return await client.post("/webhooks/github", content=content, headers=headers)
        except httpx.HTTPError:
            return None

    def tell(self) -> None:
        """Replace the file of figures as a whole."""
        if self.stats is not None:
            temporary = self.stats.with_suffix(".new")
            temporary.write_text(json.dumps({**self.counts, "served": dict(self.done_by)}))
            temporary.replace(self.stats)


def main() -> int:
    """Read the arguments and deliver; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="Address of the receiver (loopback only).")
    parser.add_argument("--rate", type=float, default=3, help="New issues per second.")
    parser.add_argument("--users", type=int, default=20, help="Repositories they come from.")
    parser.add_argument("--stats", type=Path, help="File for the figures, replaced each second.")
    arguments = parser.parse_args()
    # a demo gives every load the gateway's address: GitHub knows the receiver's
    arguments.url = os.environ.get(RECEIVER_VARIABLE, arguments.url)
    if urlsplit(arguments.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error(f"{arguments.url} is not on this machine; load goes to loopback only")
    return asyncio.run(_send(arguments))


async def _send(arguments: argparse.Namespace) -> int:
    load = Load(arguments.url, rate=arguments.rate, repositories=arguments.users,
                secret=webhook_secret(), stats=arguments.stats)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stop.set)
    await load.run()
    print(json.dumps({**load.counts, "served": dict(load.done_by)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

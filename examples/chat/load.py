"""Users who converse, in an open loop: messages keep their rate however slow the answers are.

    python -m examples.chat.load --url http://127.0.0.1:8300 --rate 30 --users 300 --stats FILE

Each user has a client with a transport of its own and sends one message after the other. The
figures say what no gateway sees: messages lost or doubled, state that was not kept, callbacks made
twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from changeover.domain.routing import BUCKETS, bucket
from examples.chat.client import KINDS, Client, Delivery
from examples.chat.reports import Callbacks, Reports

QUESTIONS = (
    "How does a rollback work?", "and how long does it take?", "What does a gate check?",
    "When does a trigger fire?", "but what if the data is interrupted?", "What is a soak?",
    "How many people must approve a stage?", "and what if nobody answers?",
    "How are answers compared?", "What does the gateway refuse?", "Which backups are made?",
    "How is the split of users decided?", "What happens when the store is away?",
    "and when the observer dies?", "How do I freeze a migration?", "What is a segment?",
)
TALK_MESSAGES = 6
"""Messages of a conversation; then the user begins another one."""
WEIGHTS = (1, 2, 4)
"""Light, moderate and heavy users, in turn."""
BETA_EVERY = 20
"""One of so many users takes part in the beta: 5 %."""
REGIONS = ("north", "south", "east", "west")
FINISH_SECONDS = 8.0
GOLDEN = 0.6180339887498949
FELL_BACK = "websocket_WSServerHandshakeError"
"""What a client notes when a system does not take its websocket."""
STRICT = ("failed_to_answer", "lost", "doubled", "out_of_order", "mixed_up", "state_lost",
          "callbacks_twice", "callbacks_missing")
"""Figures that must be 0 for `--strict`."""


def even_users(number: int) -> list[str]:
    """Return keys of users who are spread evenly over the buckets, in the order of their buckets.

    A few hundred users then behave at a split as many thousands do: 10 % of the buckets have 10 %
    of them.
    """
    found: dict[int, str] = {}
    at = 0
    while len(found) < number:
        key = f"user-{at}"
        found.setdefault(bucket(key) * number // BUCKETS, key)
        at += 1
    return [found[place] for place in range(number)]


def habits(number: int) -> tuple[str, int, dict[str, str]]:
    """Return what a user's client speaks, how often the user comes, and the client's headers."""
    turn = number // BETA_EVERY
    headers = {"x-region": REGIONS[turn % len(REGIONS)]}
    if number % BETA_EVERY == 0:
        headers["x-cohort"] = "beta"
    # each habit speaks each kind as often as the others, among the beta users, too
    kind = KINDS[(number // len(WEIGHTS) + turn) % len(KINDS)]
    return kind, WEIGHTS[number % len(WEIGHTS)], headers


class Load:
    """Has users converse.

    Args:
        url: Address of the gateway; loopback only.
        rate: Messages a second.
        users: How many users.
        stats: File that is replaced with the figures every second; None for none.
        seed: Seed of who asks what, so that runs can be repeated.
    """

    def __init__(
        self, url: str, *, rate: float, users: int, stats: Path | None = None, seed: int = 1
    ) -> None:
        self.url, self.rate, self.stats = url.rstrip("/"), rate, stats
        self.stop = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.transports: Counter[str] = Counter()
        self._recent: list[float] = []
        self._first: list[float] = []
        self._random = random.Random(seed)
        self._names = even_users(users)
        self._free: list[Client] = []
        self.callbacks = Callbacks()
        self.reports = Reports()

    async def run(self, seconds: float | None = None) -> None:
        """Send until `stop` is set or `seconds` have passed; then wait for the last answers."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, self.callbacks:
            self._make_clients(session)
            telling = asyncio.create_task(self._tell_on())
            try:
                await self._send(seconds)
                await self._audit()
            finally:
                telling.cancel()
                await self.reports.close()
                self.tell()

    def _make_clients(self, session: aiohttp.ClientSession) -> None:
        """Make each user's client, in the order of their buckets; heavy users come more often."""
        for number, name in enumerate(self._names):
            kind, weight, headers = habits(number)
            client = Client(session, self.url, name, kind, headers)
            client.callback_url = self.callbacks.url
            self._free += [client] * weight

    async def _send(self, seconds: float | None) -> None:
        pending: set[asyncio.Task[None]] = set()
        began, number = time.monotonic(), 0
        order, busy = self._free, set[Client]()
        while not self.stop.is_set():
            due = began + number / self.rate
            if seconds is not None and due - began >= seconds:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            client = next((each for each in _turn(order, number) if each not in busy), None)
            number += 1
            # every user waits for an answer: nobody is left who could ask
            if client is None:
                self.counts["left_out"] += 1
                continue
            busy.add(client)
            task = asyncio.create_task(self._say(client, busy))
            pending.add(task)
            task.add_done_callback(pending.discard)
        if pending:
            await asyncio.wait(pending, timeout=FINISH_SECONDS)

    async def _say(self, client: Client, busy: set[Client]) -> None:
        try:
            if len(client.talk.sent) >= TALK_MESSAGES:
                await self._end_talk(client)
            # the first question of a talk must not lean on one before it
            asked = self._random.choice(QUESTIONS)
            if not client.talk.sent and asked.startswith(("and ", "but ")):
                asked = QUESTIONS[0]
            self.counts["sent"] += 1
            self._count(client, await client.say(asked))
        finally:
            busy.discard(client)

    def _count(self, client: Client, delivery: Delivery) -> None:
        """Count how a message went, and report it."""
        told = delivery.told
        for flaw in delivery.flaws:
            self.counts["failed_to_answer" if flaw == "unanswered" else flaw] += 1
        # a user was moved back, and the old system knows no websocket: the client asks as before
        failures = [why for why in delivery.failures if why != FELL_BACK]
        self.counts["fell_back"] += len(delivery.failures) - len(failures)
        self.counts["retried"] += bool(failures and told)
        self.counts.update(f"retry_{why}" for why in failures)
        system = told.system if told else client.talk.system or "baseline"
        if told is not None:
            self.counts["answered"] += 1
            self.counts["moved"] += delivery.is_moved
            self.counts["moved_with_state"] += delivery.is_moved and not delivery.flaws
            self.served[told.system] += 1
            self.transports[told.transport] += 1
            if told.transport == "callback":
                self.callbacks.expect(client, told.system)
            self._recent.append(delivery.seconds)
            if told.events:
                self._first.append(told.first_at - delivery.began)
            # the latest only: the figures are to show what is going on now
            del self._recent[:-2000], self._first[:-2000]
        self.reports.message(client, system, delivery)

    async def _end_talk(self, client: Client) -> None:
        """Compare a conversation with what the database has of it, and begin another one."""
        self.counts["conversations"] += 1
        try:
            self.counts.update(await client.missing())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError):
            self.counts["not_compared"] += 1
        client.begin()

    async def _audit(self) -> None:
        """Compare the conversations that were going on at the end."""
        talking = {client for client in self._free if client.talk.sent}
        for client in talking:
            await self._end_talk(client)

    async def _tell_on(self) -> None:
        while True:
            await asyncio.sleep(1)
            for client, system in self.callbacks.take_twice():
                self.reports.told_twice(client, system)
            await self.reports.send()
            self.tell()

    def figures(self) -> dict[str, object]:
        """Return counts and latencies (seconds, of the last 2,000 answers)."""
        whole, first = sorted(self._recent), sorted(self._first)
        flaws = {name: self.counts[name] for name in (
            "lost", "doubled", "out_of_order", "mixed_up", "state_lost")}
        return {
            **self.counts, **flaws, **self.callbacks.figures(), **self.reports.figures(),
            "served": dict(self.served), "transports": dict(self.transports),
            "p50": _quantile(whole, 0.5), "p95": _quantile(whole, 0.95),
            "p99": _quantile(whole, 0.99), "first_piece_p50": _quantile(first, 0.5)}

    def tell(self) -> None:
        """Replace the file of figures as a whole."""
        if self.stats is not None:
            temporary = self.stats.with_suffix(".new")
            temporary.write_text(json.dumps(self.figures()))
            temporary.replace(self.stats)


def _turn(order: list[Client], number: int) -> list[Client]:
    """Return the clients, beginning with the one whose turn it is.

    By steps of the golden ratio: any few messages in a row are spread evenly over the buckets.
    """
    at = int(number * GOLDEN % 1 * len(order))
    return order[at:] + order[:at]


def _quantile(ordered: list[float], q: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None


def main() -> int:
    """Read the arguments and send; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="Address of the gateway (loopback only).")
    parser.add_argument("--rate", type=float, default=30, help="Messages a second.")
    parser.add_argument("--users", type=int, default=300, help="Distinct users.")
    parser.add_argument("--seconds", type=float, help="How long; default until ended.")
    parser.add_argument("--stats", type=Path, help="File for the figures, replaced each second.")
    parser.add_argument("--strict", action="store_true", help="Exit code 1 if anything went wrong.")
    arguments = parser.parse_args()
    if urlsplit(arguments.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error(f"{arguments.url} is not on this machine; load goes to loopback only")
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    load = Load(
        arguments.url, rate=arguments.rate, users=arguments.users, stats=arguments.stats)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stop.set)
    await load.run(arguments.seconds)
    figures = load.figures()
    print(json.dumps(figures, indent=1))
    if not arguments.strict:
        return 0
    return int(not figures.get("answered") or any(figures.get(name) for name in STRICT))


if __name__ == "__main__":
    sys.exit(main())

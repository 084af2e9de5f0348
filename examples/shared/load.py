"""Real users' requests in an open loop: arrivals keep their rate however slow the answers are.

    python -m examples.NAME.load --url http://127.0.0.1:8100 --rate 50 --seconds 60

Latency is measured from the moment a request was due, so that a stalled system is not flattered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx

FAULTS_FILE = "CHANGEOVER_FAULTS_FILE"
BETA_SHARE = 0.08
LATEST = 2000
"""So many latencies are kept: the figures are to show what is going on now."""


class Load(ABC):
    """Sends requests of `users` distinct users at `rate` a second.

    Args:
        url: Address of the gateway; loopback only.
        rate: Arrivals per second.
        users: Distinct users; a few are far more active than the rest.
        seed: Seed of who asks for what, so that runs can be repeated.
        stats: File that is replaced with the figures every second; None for none.
    """

    timeout_seconds = 20.0

    def __init__(
        self, url: str, *, rate: float, users: int, seed: int = 1, stats: Path | None = None
    ) -> None:
        self.url, self.rate, self.stats = url.rstrip("/"), rate, stats
        self.stop = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.random = random.Random(seed)
        self._recent: list[float] = []
        self._users = [f"user-{number:04d}" for number in range(users)]
        # as among real users: a few ask far more often than most
        self._weights = [1 / (1 + number) ** 0.8 for number in range(users)]

    @abstractmethod
    async def prepare(self, client: httpx.AsyncClient) -> None:
        """Learn what there is to ask for, waiting until the system answers."""

    @abstractmethod
    async def ask(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> tuple[str, httpx.Response]:
        """Send one user's request; return its kind, as `GET`, and the answer.

        Args:
            client: Sends to the gateway.
            headers: Who the user is: `x-user-id`, and `x-cohort` of those in the beta.
        """

    async def run(self, seconds: float | None = None) -> None:
        """Send until `stop` is set or `seconds` have passed; then wait for the last answers."""
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=100)
        async with httpx.AsyncClient(
            # a proxy that the environment names would get what is for this machine
            base_url=self.url, timeout=self.timeout_seconds, limits=limits, trust_env=False
        ) as client:
            await self.prepare(client)
            pending: set[asyncio.Task[None]] = set()
            began, number, told = time.monotonic(), 0, 0.0
            while not self.stop.is_set():
                due = began + number / self.rate
                if seconds is not None and due - began >= seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                task = asyncio.create_task(self._one(client, due))
                # asyncio itself holds tasks only weakly: one that nobody holds may vanish
                pending.add(task)
                task.add_done_callback(pending.discard)
                number += 1
                if time.monotonic() - told >= 1:
                    told = time.monotonic()
                    self.tell()
            if pending:
                await asyncio.wait(pending, timeout=self.timeout_seconds)
            self.tell()

    def user(self) -> dict[str, str]:
        """Return the headers of a user drawn at random."""
        user = self.random.choices(self._users, self._weights)[0]
        headers = {"x-user-id": user}
        if int(user[-4:]) % 100 < BETA_SHARE * 100:
            headers["x-cohort"] = "beta"
        return headers

    async def _one(self, client: httpx.AsyncClient, due: float) -> None:
        self.counts["sent"] += 1
        kind = "request"
        try:
            kind, answer = await self.ask(client, self.user())
            # 4xx is an answer, too: only what a user would call a failure counts
            outcome = "ok" if answer.status_code < 500 else f"status_{answer.status_code}"
            self.served[answer.headers.get("x-served-by", "nobody")] += 1
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.counts["answered"] += 1
        if outcome != "ok":
            self.counts[f"failed_{kind}"] += 1
            self.counts[f"{kind}_{outcome}"] += 1
        self._recent.append(time.monotonic() - due)
        del self._recent[:-LATEST]

    def figures(self) -> dict[str, object]:
        """Return counts and latencies (seconds, of the last 2,000 answers)."""
        ordered = sorted(self._recent)

        def quantile(q: float) -> float | None:
            return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None

        return {
            **self.counts, "served": dict(self.served),
            "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99),
        }

    def tell(self) -> None:
        """Replace the file of figures as a whole."""
        if self.stats is not None:
            temporary = self.stats.with_suffix(".new")
            temporary.write_text(json.dumps(self.figures()))
            temporary.replace(self.stats)


def fault() -> str:
    """Return the misbehaviour that was asked of the users themselves, or `none`."""
    try:
        return str(json.loads(Path(os.environ[FAULTS_FILE]).read_text())["kind"])
    except (KeyError, OSError, ValueError):  # nobody asked, or the file is just being written
        return "none"


def main(kind: type[Load], description: str | None) -> int:
    """Read the arguments and send; return the exit code."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="Address of the gateway (loopback only).")
    parser.add_argument("--rate", type=float, default=50, help="Arrivals per second.")
    parser.add_argument("--users", type=int, default=300, help="Distinct users.")
    parser.add_argument("--seconds", type=float, help="How long; default until ended.")
    parser.add_argument("--stats", type=Path, help="File for the figures, replaced each second.")
    arguments = parser.parse_args()
    if urlsplit(arguments.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error(f"{arguments.url} is not on this machine; load goes to loopback only")
    return asyncio.run(_send(kind, arguments))


async def _send(kind: type[Load], arguments: argparse.Namespace) -> int:
    load = kind(arguments.url, rate=arguments.rate, users=arguments.users, stats=arguments.stats)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stop.set)
    await load.run(arguments.seconds)
    print(json.dumps(load.figures(), indent=1))
    return 0

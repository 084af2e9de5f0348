"""Real users' requests in an open loop: arrivals keep their rate however slow the answers are.

    python -m examples.documents.load --url http://127.0.0.1:8100 --rate 50 --seconds 60

Latency is measured from the moment a request was due, so that a stalled system is not flattered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx

BETA_SHARE = 0.08
POST_SHARE = 0.1


class Load:
    """Sends requests of `users` distinct users at `rate` a second.

    Args:
        url: Address of the gateway; loopback only.
        rate: Arrivals per second.
        users: Distinct users; a few are far more active than the rest.
        seed: Seed of who asks for what, so that runs can be repeated.
        stats: File that is replaced with the figures every second; None for none.
    """

    def __init__(
        self, url: str, *, rate: float, users: int, seed: int = 1, stats: Path | None = None
    ) -> None:
        self.url, self.rate, self.stats = url.rstrip("/"), rate, stats
        self.stop = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self._recent: list[float] = []
        self._random = random.Random(seed)
        self._users = [f"user-{number:04d}" for number in range(users)]
        # as among real users: a few ask far more often than most
        self._weights = [1 / (1 + number) ** 0.8 for number in range(users)]

    async def run(self, seconds: float | None = None) -> None:
        """Send until `stop` is set or `seconds` have passed; then wait for the last answers."""
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=100)
        async with httpx.AsyncClient(
            # a proxy that the environment names would get what is for this machine
            base_url=self.url, timeout=20, limits=limits, trust_env=False
        ) as client:
            documents = await self._documents(client)
            pending: set[asyncio.Task[None]] = set()
            began, number, told = time.monotonic(), 0, 0.0
            while not self.stop.is_set():
                due = began + number / self.rate
                if seconds is not None and due - began >= seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                task = asyncio.create_task(self._one(client, documents, due))
                # asyncio itself holds tasks only weakly: one that nobody holds may vanish
                pending.add(task)
                task.add_done_callback(pending.discard)
                number += 1
                if time.monotonic() - told >= 1:
                    told = time.monotonic()
                    self.tell()
            if pending:
                await asyncio.wait(pending, timeout=20)
            self.tell()

    async def _documents(self, client: httpx.AsyncClient) -> list[str]:
        """Return the ids of the documents, waiting until the system answers."""
        while not self.stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.get("/documents")
                if answer.is_success:
                    return list(answer.json())
            await asyncio.sleep(0.2)
        return ["none"]

    async def _one(self, client: httpx.AsyncClient, documents: list[str], due: float) -> None:
        user = self._random.choices(self._users, self._weights)[0]
        headers = {"x-user-id": user}
        if int(user[-4:]) % 100 < BETA_SHARE * 100:
            headers["x-cohort"] = "beta"
        is_post = self._random.random() < POST_SHARE
        method = "POST" if is_post else "GET"
        self.counts["sent"] += 1
        try:
            if is_post:
                text = f"Name: example\nVersion: 1.{self._random.randrange(99)}\n\n# Hello\n"
                answer = await client.post("/parse", content=text, headers=headers)
            else:
                document = self._random.choice(documents)
                answer = await client.get(f"/documents/{document}", headers=headers)
            # 4xx is an answer, too: only what a user would call a failure counts
            outcome = "ok" if answer.status_code < 500 else f"status_{answer.status_code}"
            self.served[answer.headers.get("x-served-by", "nobody")] += 1
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.counts["answered"] += 1
        if outcome != "ok":
            self.counts[f"failed_{method}"] += 1
            self.counts[f"{method}_{outcome}"] += 1
        self._recent.append(time.monotonic() - due)
        # the latest only: the figures are to show what is going on now
        del self._recent[:-2000]

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


def main() -> int:
    """Read the arguments and send; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="Address of the gateway (loopback only).")
    parser.add_argument("--rate", type=float, default=50, help="Arrivals per second.")
    parser.add_argument("--users", type=int, default=300, help="Distinct users.")
    parser.add_argument("--seconds", type=float, help="How long; default until ended.")
    parser.add_argument("--stats", type=Path, help="File for the figures, replaced each second.")
    arguments = parser.parse_args()
    if urlsplit(arguments.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error(f"{arguments.url} is not on this machine; load goes to loopback only")
    return asyncio.run(_send(arguments))


async def _send(arguments: argparse.Namespace) -> int:
    load = Load(
        arguments.url, rate=arguments.rate, users=arguments.users, stats=arguments.stats
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, load.stop.set)
    await load.run(arguments.seconds)
    print(json.dumps(load.figures(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

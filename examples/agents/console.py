"""The console as an application sees it: decide, claim, complete, fail, report.

Every request may be repeated, so one without an answer, or with 503, is: a few times here, and by
whoever delivers the event again after that.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

ATTEMPTS = 3
PAUSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Turn:
    """Which system's turn it is; in parallel mode `both` process and one has effects."""

    system: str
    both: bool
    because: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to act on an item for as long as the lease lasts, or why it was refused."""

    token: int | None
    why: str = ""
    lease_seconds: float = 60.0


class Console:
    """A client of the console. Every call may raise httpx.HTTPError: no answer, or a refusal.

    Args:
        url: Where the console answers.
        token: A token of scope `write`.
    """

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=10,
            trust_env=False)

    async def decide(self, key: str) -> Turn:
        """Return which system a key belongs to."""
        found = (await self._ask("GET", f"/v1/decision/{key}")).raise_for_status().json()
        return Turn(found["system"], found["both"], found["because"])

    async def claim(self, item: str, system: str, holder: str) -> Grant:
        """Claim an item for a system. Two that may work at the same time need two names."""
        answer = await self._ask(
            "POST", f"/v1/claims/{item}", {"system": system, "holder": holder})
        if answer.status_code == httpx.codes.CONFLICT:
            return Grant(None, answer.json()["why"])
        found = answer.raise_for_status().json()
        began, ends = (datetime.fromisoformat(found[at]) for at in ("claimed_at", "expires_at"))
        return Grant(found["token"], lease_seconds=(ends - began).total_seconds())

    async def renew(self, item: str, token: int) -> None:
        """Keep a claim for another lease."""
        answer = await self._ask("POST", f"/v1/claims/{item}/renew", {"token": token})
        answer.raise_for_status()

    async def complete(self, item: str, token: int) -> None:
        """Make a claim final."""
        answer = await self._ask("POST", f"/v1/claims/{item}/complete", {"token": token})
        answer.raise_for_status()

    async def fail(self, item: str, token: int, reason: str) -> None:
        """Say that a system could not do an item: the baseline's from now on."""
        answer = await self._ask(
            "POST", f"/v1/claims/{item}/fail", {"token": token, "reason": reason[:500]})
        answer.raise_for_status()

    async def report(self, outcome: dict[str, Any]) -> None:
        """Report an outcome."""
        (await self._ask("POST", "/v1/outcomes", outcome)).raise_for_status()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Return the answer to a request; the last attempt's, whatever it is."""
        for _ in range(ATTEMPTS - 1):
            try:
                answer = await self._client.request(method, path, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
            # it may have been done all the same: repeating it changes nothing more
            except httpx.TransportError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)
        return await self._client.request(method, path, json=body)

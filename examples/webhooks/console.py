"""The console as an application sees it: decide, claim, complete, fail, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Turn:
    """Which system's turn it is; in parallel mode `both` process and one has effects."""

    system: str
    both: bool
    because: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to act on an item, or why it was refused."""

    token: int | None
    why: str = ""


class Console:
    """A client of the console.

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
        found = (await self._client.get(f"/v1/decision/{key}")).raise_for_status().json()
        return Turn(found["system"], found["both"], found["because"])

    async def claim(self, item: str, system: str, holder: str) -> Grant:
        """Claim an item for a system. Two that may work at the same time need two names."""
        answer = await self._client.post(
            f"/v1/claims/{item}", json={"system": system, "holder": holder})
        if answer.status_code == httpx.codes.CONFLICT:
            return Grant(None, answer.json()["why"])
        return Grant(answer.raise_for_status().json()["token"])

    async def complete(self, item: str, token: int) -> None:
        """Make a claim final."""
        await self._ask(f"/v1/claims/{item}/complete", {"token": token})

    async def fail(self, item: str, token: int, reason: str) -> None:
        """Say that a system could not do an item: the baseline's from now on."""
        await self._ask(f"/v1/claims/{item}/fail", {"token": token, "reason": reason[:500]})

    async def report(self, outcome: dict[str, Any]) -> None:
        """Report an outcome."""
        await self._ask("/v1/outcomes", outcome)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, path: str, body: dict[str, Any]) -> None:
        (await self._client.post(path, json=body)).raise_for_status()

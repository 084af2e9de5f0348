"""Receives GitHub's issue events and has each issue triaged once, by the system whose turn it is.

    TRACKER_URL=… WEBHOOK_SECRET=… CONSOLE_URL=… CONSOLE_TOKEN=… \\
        python -m examples.webhooks.app --baseline URL --candidate URL --port 8300

1. The signature is checked: only GitHub knows the secret.
2. The console says whose turn it is. In parallel mode the other agent gets the issue too, without
   a token, so that it has no effect and only its quality is measured.
3. The issue is claimed; what another delivery holds or has done is not done again.
4. The agent works. When the candidate fails, the claim goes to the baseline, which works instead;
   in candidate_only the plan has everyone rolled back then.
5. The claim is completed and every outcome reported: gates and triggers read them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field, ValidationError

from examples.webhooks.console import Console

ACTIONS = ("opened", "edited", "labeled", "assigned")
MOST_BODY = 25 << 20  # GitHub's own limit


class Issue(BaseModel):
    """The parts of an issue that agents read."""

    number: int
    title: str = Field(max_length=1000)
    body: str | None = None


class Repository(BaseModel):
    """Where the issue is."""

    full_name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$")


class IssueEvent(BaseModel):
    """GitHub's `issues` event; it has many fields more."""

    action: str
    issue: Issue
    repository: Repository

    @property
    def item(self) -> str:
        """The issue's name among all items: `acme:shop:42`."""
        return f"{self.repository.full_name.replace('/', ':')}:{self.issue.number}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. Secrets come from the environment, never from the command line."""

    baseline: str
    candidate: str
    console_url: str
    console_token: str
    webhook_secret: str


class Router:
    """Has issues triaged.

    Args:
        settings: Where everything is.
    """

    def __init__(self, settings: Settings) -> None:
        self.console = Console(settings.console_url, settings.console_token)
        self._agents = {
            name: httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
            for name, url in (("baseline", settings.baseline), ("candidate", settings.candidate))
        }

    async def handle(self, event: IssueEvent) -> dict[str, Any]:
        """Have an issue triaged once and return what was done."""
        turn = await self.console.decide(event.item)
        others = [name for name in self._agents if turn.both and name != turn.system]
        done, *_ = await asyncio.gather(
            self._act(event, turn.system), *(self._rehearse(event, name) for name in others))
        return {**done, "because": turn.because, "rehearsed": others}

    async def _act(self, event: IssueEvent, system: str) -> dict[str, Any]:
        """Claim the issue for a system and have it do the work, with effects."""
        # a name of its own for every delivery: two at once must not be the same holder
        holder = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex}"
        grant = await self.console.claim(event.item, system, holder)
        if grant.token is None:
            return {"status": "not done", "why": grant.why, "system": system}
        try:
            label = await self._ask(event, system, grant.token)
        except httpx.HTTPError as error:
            reason = f"{system} agent: {type(error).__name__}"
            await self.console.fail(event.item, grant.token, reason)
            if system == "baseline":
                raise HTTPException(502, "the agent does not answer; deliver it again") from None
            return await self._act(event, "baseline")
        await self.console.complete(event.item, grant.token)
        return {"status": "done", "system": system, "label": label}

    async def _rehearse(self, event: IssueEvent, system: str) -> None:
        """Have a system do the work without effects; whatever happens, users do not notice."""
        with contextlib.suppress(httpx.HTTPError):
            await self._ask(event, system, None)

    async def _ask(self, event: IssueEvent, system: str, token: int | None) -> str:
        """Have an agent work, report its outcome, and return its label."""
        began = time.perf_counter()
        outcome: dict[str, Any] = {
            "id": f"{event.item}:{system}:{token or 'rehearsed'}", "system": system,
            "success": False}
        try:
            answer = await self._agents[system].post("/triage", json={
                "item": event.item, "title": event.issue.title, "body": event.issue.body or "",
                "token": token})
            found = answer.raise_for_status().json()
            outcome |= {"success": True, "quality": {"confidence": found["confidence"]}}
            return str(found["label"])
        finally:
            await self.console.report({**outcome, "seconds": time.perf_counter() - began})

    async def close(self) -> None:
        """Close all connections."""
        for client in self._agents.values():
            await client.aclose()
        await self.console.close()


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether a body carries GitHub's signature: `sha256=` and the HMAC in hexadecimal."""
    known = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(known.encode(), signature.encode("utf-8", "replace"))


def application(settings: Settings) -> FastAPI:
    """Return the application that GitHub delivers to."""
    router = Router(settings)

    @contextlib.asynccontextmanager
    async def lifetime(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await router.close()

    app = FastAPI(title="issue webhooks", docs_url=None, redoc_url=None, lifespan=lifetime)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/webhooks/github")
    async def receive(
        request: Request, x_github_event: str = Header(), x_hub_signature_256: str = Header("")
    ) -> dict[str, Any]:
        body = await request.body()
        if len(body) > MOST_BODY:
            raise HTTPException(413, "larger than GitHub sends")
        if not is_signed(body, x_hub_signature_256, settings.webhook_secret):
            raise HTTPException(401, "the signature is not GitHub's")
        if x_github_event != "issues":
            return {"status": "ignored", "event": x_github_event}
        try:
            event = IssueEvent.model_validate_json(body)
        except ValidationError as error:
            raise HTTPException(422, error.errors(include_input=False)) from None
        if event.action not in ACTIONS:
            return {"status": "ignored", "action": event.action}
        return await router.handle(event)

    return app


def main() -> None:
    """Read the command line and the environment, and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", default="http://127.0.0.1:8301", help="The old agent.")
    parser.add_argument("--candidate", default="http://127.0.0.1:8302", help="The new agent.")
    parser.add_argument("--port", type=int, default=8300, help="Port to listen on.")
    arguments = parser.parse_args()
    settings = Settings(
        arguments.baseline, arguments.candidate,
        os.environ.get("CONSOLE_URL", "http://127.0.0.1:8190"), os.environ["CONSOLE_TOKEN"],
        os.environ["WEBHOOK_SECRET"])
    uvicorn.run(application(settings), host="127.0.0.1", port=arguments.port,
                log_level="warning")


if __name__ == "__main__":
    main()

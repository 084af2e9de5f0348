"""Receives GitHub's issue events and has each issue done once, by the system whose turn it is.

    WEBHOOK_SECRET=… CONSOLE_URL=… CONSOLE_TOKEN=… \\
        python -m examples.agents.receiver --baseline URL --candidate URL --port 8404

Only what GitHub signed is looked at. How an issue is done is `router`.

GitHub counts an answer of 2xx as delivered for good. What cannot be done now (maintenance, another
delivery is at it, the console does not answer) gets 503, so that it is delivered again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import ValidationError

from examples.agents.events import ACTIONS, MOST_BODY, SIGNATURE, IssueEvent, is_signed
from examples.agents.router import LOG, Router, again
from examples.agents.serving import serve
from examples.agents.settings import Settings, webhook_secret


def application(settings: Settings) -> FastAPI:
    """Return the application that GitHub delivers to."""
    router = Router(settings)

    @contextlib.asynccontextmanager
    async def lifetime(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await router.close()

    app = FastAPI(title="issue webhooks", docs_url=None, redoc_url=None, lifespan=lifetime)
    router.faults.route(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/webhooks/github")
    async def receive(
        request: Request, x_github_event: str = Header(),
        x_github_delivery: str = Header(pattern=r"^[0-9A-Za-z-]{1,64}$"),
        x_hub_signature_256: str = Header(""),
    ) -> dict[str, Any]:
        # before the body: without anything like a signature 25 MB need not be read
        if not SIGNATURE.fullmatch(x_hub_signature_256):
            raise HTTPException(401, "there is no signature of GitHub's")
        body = await _body(request)
        if not is_signed(body, x_hub_signature_256, settings.webhook_secret):
            raise HTTPException(401, "the signature is not GitHub's")
        if x_github_event != "issues":
            return {"status": "ignored", "event": x_github_event}
        try:
            event = IssueEvent.model_validate_json(body)
        except ValidationError as error:
            # what was sent is private and may be long: the answer does not repeat it
            raise HTTPException(422, error.errors(include_input=False)) from None
        if event.action not in ACTIONS:
            return {"status": "ignored", "action": event.action}
        try:
            return await router.handle(event, x_github_delivery)
        except httpx.HTTPError as error:
            LOG.warning("%s was not done: %s", event.item, error)
            raise again(503, "the console does not answer") from None

    return app


async def _body(request: Request) -> bytes:
    """Return a request's body; what is larger than allowed is not read to its end."""
    length = request.headers.get("content-length", "0")
    body = bytearray()
    # a length that is missing or a lie is found out while reading
    if length.isdigit() and int(length) <= MOST_BODY:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY:
                break
        else:
            return bytes(body)
    raise HTTPException(413, "larger than GitHub sends")


def main() -> None:
    """Read the command line and the environment, and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, port in (("baseline", 8401), ("candidate", 8402)):
        default = os.environ.get(f"{name.upper()}_URL", f"http://127.0.0.1:{port}")
        parser.add_argument(f"--{name}", default=default, help=f"Address of the {name}.")
    parser.add_argument("--port", type=int, default=8404, help="Port to listen on.")
    arguments = parser.parse_args()
    settings = Settings(
        arguments.baseline, arguments.candidate,
        os.environ.get("CONSOLE_URL", "http://127.0.0.1:8190"), os.environ["CONSOLE_TOKEN"],
        webhook_secret())
    serve(application(settings), arguments.port)


if __name__ == "__main__":
    main()

"""What both systems' services share: documents by id, documents that are sent, health, faults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.documents import classic, corpus
from examples.shared import faults

LARGEST_BYTES = 1 << 20
CONSOLE_VARIABLE = "CONSOLE_URL"
USER_HEADER = "x-user-id"
USUAL = ("errors", "latency", "hang", "crash", "notfound", "empty", "wrong")
WRONG_EVERY = 8
"""With `wrong`, one of so many answers is another document's: 12 %, more than the plan allows."""
Process = Callable[[str, bytes, str], dict[str, Any]]


class Service:
    """The service of one system.

    Args:
        name: `baseline` or `candidate`; told in the header `x-served-by`.
        process: Returns the record of a document (its id, its content, the user).
        kinds: Faults that it has beyond those of every system.
    """

    def __init__(self, name: str, process: Process, kinds: Sequence[str] = ()) -> None:
        self.name, self._process, self._kinds = name, process, kinds
        self.documents = corpus.load()
        self.faults = faults.Faults()
        self._answered = 0

    def app(self) -> Starlette:
        """Return the application that answers."""
        return Starlette(routes=[
            Route("/health", self.health),
            Route("/documents", self.listing),
            Route("/documents/{id}", self.record),
            Route("/process", self.process_sent, methods=["POST"]),
            faults.route(self.begin, (*USUAL, *self._kinds)),
            *self.routes(),
        ])

    def routes(self) -> list[Route]:
        """Return the addresses that only this system has."""
        return []

    async def health(self, _request: Request) -> Response:
        """Say that the system is well; a hanging one hangs here too."""
        if self.faults.kind == "hang":
            await self.faults.suffer()
        return self.answer({"status": "healthy", "system": self.name})

    async def listing(self, _request: Request) -> Response:
        """Return the ids of all documents."""
        return self.answer(list(self.documents))

    async def record(self, request: Request) -> Response:
        """Return the record of one document."""
        key = request.path_params["id"]
        if key not in self.documents:
            return self.answer({"error": f"no document {key}"}, 404)
        return await self._processed(request, key, self.documents[key].content)

    async def process_sent(self, request: Request) -> Response:
        """Return the record of a document that a user sends."""
        content = await request.body()
        if len(content) > LARGEST_BYTES:
            return self.answer({"error": f"larger than {LARGEST_BYTES} bytes"}, 413)
        return await self._processed(request, "sent", content)

    def begin(self, kind: str) -> None:
        """Begin a fault, or end all with `none`."""
        self.faults.begin(kind)

    def answer(self, content: Any, status: int = 200) -> JSONResponse:
        """Return an answer as JSON that says who gave it."""
        headers = {"x-served-by": self.name, "x-content-type-options": "nosniff"}
        return JSONResponse(content, status_code=status, headers=headers)

    async def _processed(self, request: Request, key: str, content: bytes) -> Response:
        if (failure := await self.faults.suffer()) is not None:
            return failure
        self._answered += 1
        if self.faults.kind == "wrong" and self._answered % WRONG_EVERY == 0:
            content = next(iter(self.documents.values())).content
        user = request.headers.get(USER_HEADER, "")
        try:
            return self.answer(await run_in_threadpool(self._process, key, content, user))
        except classic.Unreadable as error:
            return self.answer({"error": str(error)}, 422)


def arguments_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the command line of a system."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    parser.add_argument("--work", type=Path, default=Path("work"),
                        help="Folder of its files; default: work, where it is started.")
    return parser


def serve(service: Service, arguments: argparse.Namespace) -> None:
    """Serve until ended."""
    # Tesseract's threads would take the cores from everyone else
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")
    uvicorn.run(service.app(), host=arguments.host, port=arguments.port, log_level="warning",
                # longer than the gateway keeps connections: it must not send to a closed one
                access_log=False, timeout_keep_alive=60)

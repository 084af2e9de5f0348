"""The HTTP service around a parser: health, the documents, and parsing what is posted."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import os
import signal
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.documents import corpus

Parser = Callable[[str], dict[str, Any]]

TOKEN_VARIABLE = "CHANGEOVER_FAULT_TOKEN"  # noqa: S105  the variable's name, not a token
FAULTS = ("none", "errors", "latency", "hang", "crash", "memory", "notfound", "redirects", "empty",
          "wrong")
WRONG_EVERY = 33
"""With `wrong`, one of so many answers is another document's: 3 %."""
AT_ONCE = {"notfound": 404, "redirects": 302, "empty": 200}
"""Faults that answer at once, and everybody alike, with this status."""
LATENCY_SECONDS = 0.4
MEMORY_STEP_BYTES = 10 << 20
MEMORY_MOST_BYTES = 800 << 20


class Faults:
    """The misbehaviour that the demo asks for; none unless it is asked for."""

    def __init__(self) -> None:
        self.kind = "none"
        self._count = 0
        self._hoard: list[bytearray] = []

    async def suffer(self) -> Response | None:
        """Return an error answer, be late, never return, or do nothing."""
        self._count += 1
        if self.kind == "errors" and self._count % 3 == 0:
            return JSONResponse({"error": "the parser failed"}, status_code=500)
        if self.kind in AT_ONCE:
            return Response(status_code=AT_ONCE[self.kind], headers={"location": "/elsewhere"}
                            if self.kind == "redirects" else None)
        if self.kind == "latency":
            await asyncio.sleep(LATENCY_SECONDS)
        if self.kind == "hang":
            await asyncio.Event().wait()
        return None

    def is_mistaken(self) -> bool:
        """Whether this answer is to be another document's."""
        return self.kind == "wrong" and self._count % WRONG_EVERY == 0

    def begin(self, kind: str) -> None:
        """Start one kind of fault, or end them all with `none`."""
        self.kind = kind
        # SIGKILL, as by the kernel: a crash closes nothing and answers nobody
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "memory":
            asyncio.get_running_loop().call_soon(self._grow)
        if kind == "none":
            self._hoard.clear()

    def _grow(self) -> None:
        if self.kind == "memory" and len(self._hoard) * MEMORY_STEP_BYTES < MEMORY_MOST_BYTES:
            self._hoard.append(bytearray(os.urandom(1024) * (MEMORY_STEP_BYTES // 1024)))
            asyncio.get_running_loop().call_later(0.2, self._grow)


class Service:
    """The service of one system.

    Args:
        name: `baseline` or `candidate`; told in the header `x-served-by`.
        parse: Turns a document's text into a record.
    """

    def __init__(self, name: str, parse: Parser) -> None:
        self.name, self.parse = name, parse
        self.documents = corpus.load()
        self.faults = Faults()

    def app(self) -> Starlette:
        """Return the application that answers."""
        return Starlette(routes=[
            Route("/health", self.health),
            Route("/documents", self.listing),
            Route("/documents/{key}", self.record),
            Route("/parse", self.parse_posted, methods=["POST"]),
            Route("/fault", self.fault, methods=["POST"]),
        ])

    async def health(self, _request: Request) -> Response:
        """Say that the system is well; a hanging one hangs here too."""
        # other faults leave the health probe alone: only measurements of users show them
        if self.faults.kind == "hang":
            await self.faults.suffer()
        return self._answer({"status": "healthy", "system": self.name})

    async def listing(self, _request: Request) -> Response:
        """Return the ids of all documents."""
        return self._answer(list(self.documents))

    async def record(self, request: Request) -> Response:
        """Return one document as a record."""
        if (failure := await self.faults.suffer()) is not None:
            return failure
        key = request.path_params["key"]
        if key not in self.documents:
            return self._answer({"error": f"no document {key}"}, 404)
        if self.faults.is_mistaken():
            key = self._another(key)
        return self._answer({"id": key, **self.parse(self.documents[key])})

    def _another(self, key: str) -> str:
        keys = list(self.documents)
        return keys[keys.index(key) - 1]

    async def parse_posted(self, request: Request) -> Response:
        """Return the posted document as a record."""
        if (failure := await self.faults.suffer()) is not None:
            return failure
        body = await request.body()
        if len(body) > corpus.LARGEST_BYTES:
            return self._answer({"error": f"larger than {corpus.LARGEST_BYTES} bytes"}, 413)
        return self._answer(self.parse(body.decode("utf-8", "replace")))

    async def fault(self, request: Request) -> Response:
        """Begin or end a fault; without the demo's token there is no such address."""
        if not _is_allowed(request):
            return self._answer({"error": "not found"}, 404)
        kind = str((await request.json()).get("kind", ""))
        if kind not in FAULTS:
            return self._answer({"error": f"unknown fault {kind!r}", "allowed": FAULTS}, 400)
        self.faults.begin(kind)
        return self._answer({"fault": kind})

    def _answer(self, content: Any, status: int = 200) -> JSONResponse:
        headers = {"x-served-by": self.name, "x-content-type-options": "nosniff"}
        return JSONResponse(content, status_code=status, headers=headers)


def _is_allowed(request: Request) -> bool:
    """Whether the request carries the demo's token; without a token nobody may."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(token.encode(), given.encode())


def serve(name: str, parse: Parser, description: str) -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    arguments = parser.parse_args()
    uvicorn.run(
        Service(name, parse).app(), host=arguments.host, port=arguments.port, log_level="warning",
        # longer than the gateway keeps connections: it must not send to a closed one
        access_log=False, timeout_keep_alive=60,
    )

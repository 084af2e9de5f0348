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
FAULTS = ("none", "errors", "latency", "hang", "crash", "memory")
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
        if self.kind == "latency":
            await asyncio.sleep(LATENCY_SECONDS)
        if self.kind == "hang":
            await asyncio.Event().wait()
        return None

    def begin(self, kind: str) -> None:
        """Start one kind of fault, or end them all with `none`."""
        self.kind = kind
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


def make_app(name: str, parse: Parser) -> Starlette:
    """Return the service of one system.

    Args:
        name: `baseline` or `candidate`; told in the header `x-served-by`.
        parse: Turns a document's text into a record.
    """
    documents = corpus.load()
    faults = Faults()

    def answer(content: Any, status: int = 200) -> JSONResponse:
        return JSONResponse(content, status_code=status, headers={"x-served-by": name})

    async def health(_request: Request) -> Response:
        if faults.kind == "hang":
            await faults.suffer()
        return answer({"status": "healthy", "system": name})

    async def listing(_request: Request) -> Response:
        return answer(list(documents))

    async def record(request: Request) -> Response:
        if (failure := await faults.suffer()) is not None:
            return failure
        key = request.path_params["key"]
        if key not in documents:
            return answer({"error": f"no document {key}"}, 404)
        return answer({"id": key, **parse(documents[key])})

    async def parse_posted(request: Request) -> Response:
        if (failure := await faults.suffer()) is not None:
            return failure
        body = await request.body()
        if len(body) > corpus.LARGEST_BYTES:
            return answer({"error": f"larger than {corpus.LARGEST_BYTES} bytes"}, 413)
        return answer(parse(body.decode("utf-8", "replace")))

    async def fault(request: Request) -> Response:
        if not _is_allowed(request):
            return answer({"error": "not found"}, 404)
        kind = str((await request.json()).get("kind", ""))
        if kind not in FAULTS:
            return answer({"error": f"unknown fault {kind!r}", "allowed": FAULTS}, 400)
        faults.begin(kind)
        return answer({"fault": kind})

    return Starlette(routes=[
        Route("/health", health),
        Route("/documents", listing),
        Route("/documents/{key}", record),
        Route("/parse", parse_posted, methods=["POST"]),
        Route("/fault", fault, methods=["POST"]),
    ])


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
        make_app(name, parse), host=arguments.host, port=arguments.port, log_level="warning",
        access_log=False, timeout_keep_alive=60,
    )

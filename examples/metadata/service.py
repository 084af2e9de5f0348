"""The HTTP service around a parser: health, the documents, and parsing what is posted."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.metadata import corpus
from examples.shared import faults

Parser = Callable[[str], dict[str, Any]]

class Service:
    """The service of one system.

    Args:
        name: `baseline` or `candidate`; told in the header `x-served-by`.
        parse: Turns a document's text into a record.
    """

    def __init__(self, name: str, parse: Parser) -> None:
        self.name, self.parse = name, parse
        self.documents = corpus.load()
        self.faults = faults.Faults()

    def app(self) -> Starlette:
        """Return the application that answers."""
        return Starlette(routes=[
            Route("/health", self.health),
            Route("/documents", self.listing),
            Route("/documents/{key}", self.record),
            Route("/parse", self.parse_posted, methods=["POST"]),
            faults.route(self.faults.begin, faults.USUAL),
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

    def _answer(self, content: Any, status: int = 200) -> JSONResponse:
        headers = {"x-served-by": self.name, "x-content-type-options": "nosniff"}
        return JSONResponse(content, status_code=status, headers=headers)


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

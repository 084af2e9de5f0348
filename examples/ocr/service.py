"""The HTTP service around an engine: reads pages one after the other, and says how sure it is."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from examples.ocr import pages
from examples.ocr.engine import Engine, Reading, Unreadable
from examples.ocr.faults import KINDS, OcrFaults
from examples.ocr.pixels import LARGEST_BYTES
from examples.ocr.readings import Readings
from examples.shared import faults

LONGEST_QUEUE = 200
NEWEST = 100
"""So many readings make the node's figures."""


class Problem(BaseModel):
    """Why nothing was read."""

    error: str


class PageText(BaseModel):
    """What was read on a page."""

    page: str | None
    text: str
    confidence: float
    seconds: float
    engine: str


class Node(BaseModel):
    """How the engine does: of its newest readings."""

    avg_latency_ms: float
    success_rate: float
    queue_length: int


class OcrService:
    """One system.

    Args:
        name: `baseline` or `candidate`; told in the header `x-served-by`.
        engine: Reads pictures, one at a time.
        readings: Its database, with the pages that it can be asked for.
    """

    def __init__(self, name: str, engine: Engine, readings: Readings) -> None:
        self.name, self.engine, self.readings = name, engine, readings
        self.faults = OcrFaults()
        self.is_paused = False
        self._one = ThreadPoolExecutor(1, "engine")
        self._waiting = 0
        self._newest: deque[float | None] = deque(maxlen=NEWEST)

    async def read(self, picture: bytes, page: str | None) -> Response:
        """Return what stands on a picture, or why nothing was read."""
        if self.is_paused or self._waiting >= LONGEST_QUEUE:
            return self.answer({"error": "paused" if self.is_paused else "the queue is full"}, 503)
        began = time.monotonic()
        if (failure := await self.faults.suffer()) is not None:
            self._newest.append(None)
            failure.headers["x-served-by"] = self.name
            return failure
        self._waiting += 1
        try:
            # the engine keeps one core busy: a second page at once would only slow the first
            reading = await asyncio.get_running_loop().run_in_executor(
                self._one, self._recognise, picture)
        except Unreadable as error:
            return self.answer({"error": str(error)}, 422)
        finally:
            self._waiting -= 1
        seconds = time.monotonic() - began
        self._newest.append(seconds)
        await asyncio.to_thread(self.readings.save, self.engine.name, page, reading, seconds)
        return self.answer(PageText(
            page=page, text=reading.text, confidence=round(reading.confidence, 4),
            seconds=round(seconds, 3), engine=self.engine.name).model_dump())

    def _recognise(self, picture: bytes) -> Reading:
        return self.faults.after(self.engine.read(self.faults.before(picture)))

    async def health(self) -> Response:
        """Say whether pages can be read; a hanging service hangs here too."""
        if self.faults.kind == "hang":
            await self.faults.suffer()
        is_well = not self.faults.is_offline
        return self.answer(
            {"status": "healthy" if is_well else "engine gone", "engine": self.engine.name,
             "paused": self.is_paused, "queue": self._waiting}, 200 if is_well else 503)

    def node(self) -> Node:
        """Return the engine's figures."""
        newest = list(self._newest)
        took = [seconds for seconds in newest if seconds is not None]
        return Node(
            avg_latency_ms=1000 * sum(took) / len(took) if took else 0.0,
            success_rate=len(took) / len(newest) if newest else 1.0, queue_length=self._waiting)

    def answer(self, content: Any, status: int = 200) -> JSONResponse:
        """Return an answer that says who gave it."""
        return JSONResponse(content, status_code=status, headers={
            "x-served-by": self.name, "x-content-type-options": "nosniff"})


def app(service: OcrService) -> FastAPI:
    """Return the application that answers for a service."""
    made = FastAPI(title="OCR", version="1", docs_url=None, redoc_url=None)
    made.include_router(_reading(service))
    made.include_router(_operating(service))
    made.router.routes.append(faults.route(service.faults.begin, KINDS))
    return made


def _reading(service: OcrService) -> APIRouter:
    """Return the routes that users' applications call."""
    router = APIRouter()
    problems: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem} for code in (404, 413, 422, 503)}

    @router.get("/pages", response_model=list[str])
    async def listing() -> Response:
        """Return the names of all pages that the service has."""
        return service.answer(await asyncio.to_thread(service.readings.keys))

    @router.get("/pages/{key}/text", response_model=PageText, responses=problems)
    async def text(key: str) -> Response:
        """Read one page."""
        picture = await asyncio.to_thread(service.readings.picture, key)
        if picture is None:
            return service.answer({"error": f"no page {key[:100]!r}"}, 404)
        return await service.read(picture, key)

    @router.post("/ocr", response_model=PageText, responses=problems)
    async def ocr(request: Request) -> Response:
        """Read the picture (PNG or JPEG) in the body."""
        picture = b""
        async for piece in request.stream():
            picture += piece
            if len(picture) > LARGEST_BYTES:
                return service.answer({"error": f"larger than {LARGEST_BYTES} bytes"}, 413)
        return await service.read(picture, None)

    return router


def _operating(service: OcrService) -> APIRouter:
    """Return the routes that the migration and its people call."""
    router = APIRouter()

    @router.get("/health", response_model=None)
    async def health() -> Response:
        """Say whether pages can be read."""
        return await service.health()

    @router.get("/nodes/ocr", response_model=Node)
    async def node() -> Response:
        """Return the engine's figures."""
        return service.answer(service.node().model_dump())

    @router.post("/admin/{action}", include_in_schema=False)
    async def admin(action: str, request: Request) -> Response:
        """Pause the service, resume, or delete all it has: for levers, which come directly."""
        # the gateway says so of every request that it forwards, and no user can take that away
        is_users = "x-forwarded-proto" in request.headers
        if is_users or action not in ("pause", "resume", "release"):
            return service.answer({"error": "not found"}, 404)
        service.is_paused = action != "resume"
        if action == "release":
            await asyncio.to_thread(service.readings.clear)
        return service.answer({"paused": service.is_paused})

    return router


def serve(name: str, engine: type[Engine], description: str) -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    parser.add_argument("--database", type=Path, required=True, help="Its SQLite file.")
    parser.add_argument("--pages", type=int, default=pages.PRODUCTION_SEED,
                        help="Seed of the pages that it starts with.")
    arguments = parser.parse_args()
    readings = Readings(arguments.database)
    readings.stock(pages.load(arguments.pages).values())
    uvicorn.run(
        app(OcrService(name, engine(), readings)), host=arguments.host, port=arguments.port,
        # longer than the gateway keeps connections: it must not send to a closed one
        log_level="warning", access_log=False, timeout_keep_alive=60,
    )

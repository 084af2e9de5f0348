"""The AI services, a process of their own: pages read by RapidOCR, texts described by YAKE.

    python -m examples.documents.ai --port 8115

`/ocr` is what Umi-OCR, a program for people, has inside: RapidOCR with PaddleOCR's networks. Their
weights ship in its wheel. `/llm` has the place of a language model and is none: no such model ships
in a wheel and answers on two cores. YAKE finds key phrases by statistics, and the sentences with
the most of them are the summary. At most one document is worked on at a time, whoever asks.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.documents import classic, models
from examples.documents.memory import collect_garbage
from examples.shared import faults

MOST_AT_ONCE = 1
FAULTS = ("down", "ocr_down", "llm_down", "stopped")
LARGEST_BYTES = 5 << 20


class AiServices:
    """Both services over one slot: the second document waits until the first is done."""

    def __init__(self) -> None:
        self.ocr, self.llm = models.Reading(), models.Describing()
        self.kind, self.active, self.peak, self.done = "none", 0, 0, 0
        self._slot, self._count = threading.Semaphore(MOST_AT_ONCE), threading.Lock()

    def app(self) -> Starlette:
        """Return the application that answers."""
        return Starlette(routes=[
            Route("/health", self.health),
            Route("/ocr/health", self.ocr_health),
            Route("/llm/health", self.llm_health),
            Route("/ocr", self.read, methods=["POST"]),
            Route("/llm", self.describe, methods=["POST"]),
            Route("/admin/unload", self.unload, methods=["POST"]),
            faults.route(self.begin, FAULTS),
        ])

    async def health(self, _request: Request) -> Response:
        """Say how both are, and how many documents were worked on at once at most."""
        with self._count:
            return JSONResponse({
                "status": "healthy", "active": self.active, "peak": self.peak, "done": self.done,
                "loaded": [each.name for each in (self.ocr, self.llm) if each.is_loaded]})

    async def ocr_health(self, _request: Request) -> Response:
        """Say whether pages can be read."""
        return self._health("ocr_down")

    async def llm_health(self, _request: Request) -> Response:
        """Say whether texts can be described."""
        return self._health("llm_down")

    async def read(self, request: Request) -> Response:
        """Return the text of a picture, and how sure the reader is."""
        body = await request.body()
        twice = request.query_params.get("twice") == "1"
        return await self._answer("ocr_down", body, lambda: self.ocr.read(body, twice=twice))

    async def describe(self, request: Request) -> Response:
        """Return key phrases and a summary of a text."""
        body = await request.body()
        text = body.decode("utf-8", "replace")
        return await self._answer("llm_down", body, lambda: self.llm.describe(text))

    async def unload(self, _request: Request) -> Response:
        """Give the memory of both models back; the next document loads what it needs."""
        await run_in_threadpool(self._unload)
        return JSONResponse({"unloaded": True})

    def begin(self, kind: str) -> None:
        """Begin a fault, or end all with `none`; `down` and `stopped` end only by a restart."""
        self.kind = kind
        if kind == "down":
            os.kill(os.getpid(), signal.SIGKILL)
        # stopped: its port takes connections, and nobody ever answers them
        if kind == "stopped":
            asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGSTOP)

    def _health(self, fault: str) -> Response:
        if self.kind == fault:
            return JSONResponse({"status": "unhealthy"}, status_code=503)
        return JSONResponse({"status": "healthy"})

    async def _answer(
        self, fault: str, body: bytes, work: Callable[[], dict[str, Any]]
    ) -> Response:
        if self.kind == fault:
            return JSONResponse({"error": "the model failed"}, status_code=503)
        if len(body) > LARGEST_BYTES:
            return JSONResponse({"error": f"larger than {LARGEST_BYTES} bytes"}, status_code=413)
        try:
            return JSONResponse(await run_in_threadpool(self._one, work))
        except classic.Unreadable as error:
            return JSONResponse({"error": str(error)}, status_code=422)

    def _one(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        with self._slot:
            with self._count:
                self.active += 1
                self.peak = max(self.peak, self.active)
            began = time.perf_counter()
            try:
                return {**work(), "seconds": time.perf_counter() - began}
            finally:
                with self._count:
                    self.active, self.done = self.active - 1, self.done + 1

    def _unload(self) -> None:
        with self._slot:
            self.ocr.unload()
            self.llm.unload()
            collect_garbage()


def main() -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    arguments = parser.parse_args()
    uvicorn.run(AiServices().app(), host=arguments.host, port=arguments.port,
                log_level="warning", access_log=False, timeout_keep_alive=60)


if __name__ == "__main__":
    main()

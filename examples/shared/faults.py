"""Misbehaviour on request: what `changeover demo --fault` asks a process for.

A process that starts without `CHANGEOVER_FAULT_TOKEN` never misbehaves.
"""

from __future__ import annotations

import asyncio
import hmac
import mmap
import os
import signal
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN_VARIABLE = "CHANGEOVER_FAULT_TOKEN"  # noqa: S105  the variable's name, not a token
USUAL = ("errors", "latency", "hang", "crash", "memory", "notfound", "redirects", "empty", "wrong")
"""Faults that any HTTP service can have."""
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
        self._hoard: list[mmap.mmap] = []

    async def suffer(self) -> Response | None:
        """Return an error answer, be late, never return, or do nothing."""
        self._count += 1
        if self.kind == "errors" and self._count % 3 == 0:
            return JSONResponse({"error": "the service failed"}, status_code=500)
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
            # pages of its own: what is let go is the system's again at once, and not kept for later
            step = mmap.mmap(-1, MEMORY_STEP_BYTES)
            step.write(os.urandom(1024) * (MEMORY_STEP_BYTES // 1024))
            self._hoard.append(step)
            asyncio.get_running_loop().call_later(0.2, self._grow)


def is_allowed(request: Request) -> bool:
    """Whether the request carries the demo's token; without a token nobody may."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(token.encode(), given.encode())


def route(begin: Callable[[str], None], kinds: tuple[str, ...]) -> Route:
    """Return the address `/fault`, which begins what is asked for; unknown without the token.

    Args:
        begin: Begins a fault by its kind, or ends all with `none`.
        kinds: The faults that there are.
    """
    async def fault(request: Request) -> Response:
        if not is_allowed(request):
            return JSONResponse({"error": "not found"}, 404)
        kind = str((await request.json()).get("kind", ""))
        if kind not in ("none", *kinds):
            return JSONResponse({"error": f"unknown fault {kind!r}", "allowed": kinds}, 400)
        begin(kind)
        return JSONResponse({"fault": kind})

    return Route("/fault", fault, methods=["POST"])

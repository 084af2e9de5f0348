"""The misbehaviour that the demo asks a service for, by `POST /fault`; none unless asked for."""

from __future__ import annotations

import asyncio
import os
import signal

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from examples.shared.faults import is_allowed

NONE = "none"
SLOW_SECONDS = 4.0
MEMORY_STEP_BYTES = 20 << 20
MEMORY_MOST_BYTES = 900 << 20


class Wish(BaseModel):
    """The fault that is to begin."""

    kind: str


class Faults:
    """What a service suffers from now.

    Args:
        kinds: What it can suffer from; `crash` and `memory` happen by themselves, all else is its
            own to do.
    """

    def __init__(self, *kinds: str) -> None:
        self.kinds = (NONE, *kinds)
        self.kind = NONE
        self._count = 0
        self._hoard: list[bytearray] = []
        self._over = asyncio.Event()

    def route(self, app: FastAPI) -> None:
        """Give an application the address; without the demo's token there is no such address."""

        @app.post("/fault")
        async def fault(wish: Wish, request: Request) -> dict[str, str]:
            if not is_allowed(request):
                raise HTTPException(404, "not found")
            if wish.kind not in self.kinds:
                raise HTTPException(400, f"unknown fault {wish.kind!r}; allowed: {self.kinds}")
            self.begin(wish.kind)
            return {"fault": wish.kind}

    def begin(self, kind: str) -> None:
        """Start one kind of fault, or end them all with `none`."""
        self.kind = kind
        # SIGKILL, as by the kernel: a crash closes nothing and answers nobody
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "memory":
            asyncio.get_running_loop().call_soon(self._grow)
        if kind == NONE:
            self._hoard.clear()
            # who hangs goes on, late
            self._over.set()
            self._over = asyncio.Event()

    async def suffer(self) -> None:
        """Fail two of three pieces of work, be late, never return, or do nothing.

        Raises:
            HTTPException: It failed.
        """
        self._count += 1
        if self.kind == "errors" and self._count % 3:
            raise HTTPException(500, "the agents' model does not answer")
        if self.kind == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        if self.kind == "hang":
            await self._over.wait()

    def _grow(self) -> None:
        if self.kind == "memory" and len(self._hoard) * MEMORY_STEP_BYTES < MEMORY_MOST_BYTES:
            self._hoard.append(bytearray(os.urandom(1024) * (MEMORY_STEP_BYTES // 1024)))
            asyncio.get_running_loop().call_later(0.2, self._grow)

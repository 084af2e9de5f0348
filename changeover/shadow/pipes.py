"""Messages between the process that reads the tap and those that compare.

Both are one program of one user, so what they send are pickles, each with its length before it.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from collections.abc import Callable
from socket import socket
from typing import Any, cast

_LENGTH = struct.Struct("!I")


class Pipe(asyncio.Protocol):
    """One end of a pair of sockets.

    Args:
        received: Called with each message, in the event loop.
        lost: Called once the other end is gone.
    """

    def __init__(self, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._received, self._lost = received, lost
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()

    async def open(self, end: socket) -> None:
        """Begin to receive."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    def send(self, message: object) -> None:
        """Send a message; to one that is gone nothing is sent."""
        if self._transport is not None:
            data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            self._transport.write(_LENGTH.pack(len(data)) + data)

    def close(self) -> None:
        """Send what is written still, and close."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on every message that is whole."""
        self._rest += data
        position, size = 0, _LENGTH.size
        while len(self._rest) - position >= size:
            begin = position + size
            end = begin + _LENGTH.unpack_from(self._rest, position)[0]
            if end > len(self._rest):
                break
            message = pickle.loads(self._rest[begin:end])  # noqa: S301  of our own process
            position = end
            self._received(message)
        del self._rest[:position]

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so."""
        self._transport = None
        self._lost()

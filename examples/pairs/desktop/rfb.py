"""A client of the desktop over the library `websockets`: RFC 6143, as far as a picture needs it."""

from __future__ import annotations

import hashlib
import struct

from websockets.sync.client import ClientConnection, connect

from examples.pairs.clients import NoticedError, require

WAIT_SECONDS = 60
_RECTANGLE = struct.Struct(">HHHHi")


class Desktop:
    """One connection to the desktop.

    Args:
        url: The websocket's address.
        user: Key of the user.
    """

    def __init__(self, url: str, user: str) -> None:
        self._socket: ClientConnection = connect(
            url, additional_headers={"x-user-id": user}, max_size=None, proxy=None,
            open_timeout=WAIT_SECONDS, ping_interval=None)
        self._ahead = bytearray()
        self.size = self._greet()

    def picture(self) -> str:
        """Ask for all of the desktop; return the digest of its pixels."""
        width, height = self.size
        self._socket.send(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        pixels = bytearray(width * height * 4)
        kind, number = struct.unpack(">BxH", self._exactly(4))
        require(kind == 0, f"message {kind} instead of a picture")
        for _ in range(number):
            left, top, wide, high, encoding = _RECTANGLE.unpack(self._exactly(_RECTANGLE.size))
            require(encoding == 0, f"encoding {encoding} instead of raw pixels")
            data = self._exactly(wide * high * 4)
            for row in range(high):
                at = ((top + row) * width + left) * 4
                pixels[at:at + wide * 4] = data[row * wide * 4:(row + 1) * wide * 4]
        return hashlib.sha256(pixels).hexdigest()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _greet(self) -> tuple[int, int]:
        version = self._exactly(12)
        require(version == b"RFB 003.008\n", f"the greeting is {version!r}")
        self._socket.send(version)
        kinds = self._exactly(self._exactly(1)[0])
        require(1 in kinds, f"ways to sign in are {kinds!r}")
        self._socket.send(b"\x01")
        require(self._exactly(4) == bytes(4), "signing in failed")
        self._socket.send(b"\x01")  # beside others
        width, height, length = struct.unpack(">HH16xI", self._exactly(24))
        self._exactly(length)
        self._socket.send(struct.pack(">BxHi", 2, 1, 0))  # raw pixels only
        return width, height

    def _exactly(self, length: int) -> bytes:
        while len(self._ahead) < length:
            piece = self._socket.recv(WAIT_SECONDS)
            if isinstance(piece, str):
                raise NoticedError("a text where bytes belong")
            self._ahead += piece
        found = bytes(self._ahead[:length])
        del self._ahead[:length]
        return found

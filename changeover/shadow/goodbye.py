"""HTTP/2 towards a system: its beginning, and what the system sends, cut at its GOAWAY. Pure.

h2 takes no frame after GOAWAY, while a system that ends a connection in good order (after so many
requests, or to restart) still answers what it has.
"""

from __future__ import annotations

from collections.abc import Iterator

from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

LARGEST_FRAME = 1 << 14
"""Bytes of a frame's payload that we allow in our settings."""
_HEAD, _GOAWAY = 9, 7
_LARGEST_WINDOW, _INITIAL_WINDOW = (1 << 31) - 1, 65_535


def begin(frames: H2Connection) -> None:
    """Begin a client's connection, with windows in which any answer fits."""
    frames.local_settings = Settings(client=True, initial_values={
        SettingCodes.INITIAL_WINDOW_SIZE: _LARGEST_WINDOW, SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.MAX_FRAME_SIZE: LARGEST_FRAME})
    frames.initiate_connection()
    frames.increment_flow_control_window(_LARGEST_WINDOW - _INITIAL_WINDOW)


class Frames:
    """Whole frames of one connection."""

    def __init__(self) -> None:
        self._left = b""

    def cut(self, data: bytes) -> Iterator[bytes | int]:
        """Yield whole frames for h2 as bytes, and of each GOAWAY the last stream that it answers.

        Args:
            data: What came; the beginning of a frame is kept for the next call.
        """
        data = self._left + data
        begin = at = 0
        while len(data) - at >= _HEAD:
            size = _HEAD + int.from_bytes(data[at:at + 3])
            if size > _HEAD + LARGEST_FRAME:
                at = len(data)  # no frame of ours: h2 says so
                break
            if len(data) - at < size:
                break
            if data[at + 3] == _GOAWAY:
                if begin < at:
                    yield data[begin:at]
                yield int.from_bytes(data[at + _HEAD:at + _HEAD + 4]) & 0x7FFF_FFFF
                begin = at + size
            at += size
        self._left = data[at:]
        if begin < at:
            yield data[begin:at]

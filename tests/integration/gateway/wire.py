"""Raw bytes on both sides of a gateway: a system that keeps what it got, a client that does too."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

from tests.support.processes import LONGEST_PAUSE

END = b"\r\n\r\n"
_NO_BODY = re.compile(rb"HTTP/1\.\d (1\d\d|204|304)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)


class Reader:
    """Reads HTTP/1 messages from a socket as the bytes that they are."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._ahead = bytearray()  # bodies may be large: bytes would be copied with each piece

    def until(self, mark: bytes) -> bytes:
        """Return everything up to and with `mark`.

        Raises:
            EOFError: The other side ends before.
        """
        while (at := self._ahead.find(mark)) < 0:
            if not self._more():
                raise EOFError(f"{mark!r} was awaited after {bytes(self._ahead[:1000])!r}")
        return self._taken(at + len(mark))

    def exactly(self, length: int) -> bytes:
        """Return so many bytes; less when the other side ends before."""
        while len(self._ahead) < length and self._more():
            continue
        return self._taken(length)

    def rest(self) -> bytes:
        """Return everything until the other side ends."""
        while self._more():
            continue
        return self._taken(len(self._ahead))

    def body(self, head: bytes, *, until_end: bool) -> bytes:
        """Return the body that belongs to a head, with its chunks' marks and trailers."""
        if _CHUNKED.search(head):
            return self._chunks()
        if length := _LENGTH.search(head):
            return self.exactly(int(length[1]))
        return self.rest() if until_end else b""

    def answer(self, method: bytes) -> bytes:
        """Return one answer, and the interim ones before it."""
        head = self.until(END)
        if method == b"HEAD":
            return head
        if re.match(rb"HTTP/1\.\d (100|102|103)", head):
            return head + self.answer(method)
        if _NO_BODY.match(head):
            return head
        return head + self.body(head, until_end=True)

    def _chunks(self) -> bytes:
        """Return a body in chunks as one chunk: their sizes are nobody's business."""
        found, sizes = bytearray(), iter(lambda: int(self.until(b"\r\n").split(b";")[0], 16), 0)
        for size in sizes:
            found += self.exactly(size + 2)[:-2]
        trailers = list(iter(lambda: self.until(b"\r\n"), b"\r\n"))
        return b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(found), found, b"".join(trailers))

    def _taken(self, length: int) -> bytes:
        """Return so many bytes of those that are there, and forget them."""
        found = bytes(self._ahead[:length])
        del self._ahead[:length]
        return found

    def _more(self) -> bool:
        try:
            piece = self._socket.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        self._ahead += piece
        return bool(piece)


class WireSystem:
    """A system that keeps every request's bytes and answers with given bytes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.answer = b""
        self.interim = b""
        """Sent when the head of a request that has a body is there, before its body is read."""
        self.closes = False
        """Whether the connection ends with the answer."""
        self.echoes = False
        """Whether what follows the answer is sent back, as an upgraded connection does."""

    @contextlib.contextmanager
    def serving(self) -> Iterator[int]:
        """Serve until the block ends; yields the port."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            thread = threading.Thread(target=self._accept, args=(server,), daemon=True)
            thread.start()
            try:
                yield server.getsockname()[1]
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join(LONGEST_PAUSE)

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        reader = Reader(connection)
        with connection, contextlib.suppress(OSError, EOFError):
            while True:
                head = reader.until(END)
                if self.interim:
                    connection.sendall(self.interim)
                self.received.append(head + reader.body(head, until_end=False))
                connection.sendall(self.answer)
                while self.echoes and (piece := reader.exactly(4)):
                    connection.sendall(piece)
                if self.closes:
                    return


def exchange(port: int, sends: bytes, answers: int = 1) -> bytes:
    """Send bytes over a new connection; return the bytes of so many answers."""
    method = sends.lstrip().split(b" ", 1)[0]
    with socket.create_connection(("127.0.0.1", port), LONGEST_PAUSE) as connection:
        connection.sendall(sends)
        reader = Reader(connection)
        return b"".join(reader.answer(method) for _ in range(answers))

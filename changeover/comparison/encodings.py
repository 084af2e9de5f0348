"""Bodies as they travel (`content-encoding`) into what they say. Pure.

Browsers ask for compressed answers, so the answer that the user got is compressed as the baseline
likes, the candidate's as it likes; only what comes out may be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import brotli
import zstandard

MOST_ENCODINGS = 3
LARGEST_WINDOW = 8 * 1_048_576
"""Memory that unpacking zstd may take: what browsers allow (RFC 9659)."""
_PLAIN = frozenset({
    "", "identity", "none", "utf-8", "utf8", "us-ascii", "iso-8859-1", "binary", "7bit", "8bit",
    "aws-chunked", "chunked", "null", "text",
})
"""What stands in the header though nothing is packed: charsets, and how a body was uploaded."""
# Gzip's or zlib's, whichever stands there.
_ANY_HEADER = 32 + zlib.MAX_WBITS


def readable(text: str) -> str:
    """Return a text that can be shown and stored: of bytes that are no UTF-8, one U+FFFD each.

    Args:
        text: Text in which such bytes stand as halves of surrogate pairs (PEP 383).
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Undecodable(ValueError):
    """A body is not what its `content-encoding` says, or too large when it is unpacked."""


class Unknown(Undecodable):
    """A body is packed in a way that nobody here can undo."""


def too_large(most: int) -> str:
    """Return what is said of a body with more than `most` bytes."""
    return f"more than {most} bytes"


def decoded(body: bytes, encoding: str, *, most: int) -> bytes:
    """Return a body without its content encodings (RFC 9110, section 8.4).

    Args:
        body: The bytes as they came; empty ones (HEAD, 304) stay empty.
        encoding: The header's value, as `gzip` or `br, gzip`; the last one is undone first.
        most: Most bytes that may come of it.

    Raises:
        Undecodable: The bytes are not of an encoding, or they are too many.
        Unknown: An encoding is unknown.
    """
    names = []
    for part in encoding.split(",") if body else []:
        name = part.strip().lower()
        if name not in _PLAIN:
            names.append(name)
    # Each may grow a thousandfold: nested, a few bytes would take minutes to unpack.
    if len(names) > MOST_ENCODINGS:
        raise Undecodable(f"more than {MOST_ENCODINGS} content encodings")
    # What is too large before it is unpacked is too large in any case.
    for name in reversed(names if len(body) <= most else []):
        decode = _DECODERS.get(name)
        if decode is None:
            raise Unknown(f"unknown content encoding {name[:20]!r}")
        try:
            body = decode(body, most)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as error:
            raise Undecodable(f"not {name}") from error
    if len(body) > most:
        raise Undecodable(too_large(most))
    return body


def _inflated(body: bytes, most: int, bits: int = _ANY_HEADER) -> bytes:
    """Return what was deflated, a byte too much at most; gzip may have several members."""
    found = b""
    while body and len(found) <= most:
        reader = zlib.decompressobj(bits)
        # One byte more than is allowed shows that it is too large, and no more is unpacked.
        found += reader.decompress(body, most + 1 - len(found))
        if not reader.eof and len(found) <= most:
            raise EOFError
        body = reader.unused_data
    return found


def _deflated(body: bytes, most: int) -> bytes:
    try:
        return _inflated(body, most)
    # Some servers leave the header of zlib out.
    except zlib.error:
        return _inflated(body, most, -zlib.MAX_WBITS)


def _brotli(body: bytes, most: int) -> bytes:
    reader = brotli.Decompressor()
    found: bytes = reader.process(body, output_buffer_limit=most + 1)
    if not reader.is_finished() and len(found) <= most:
        raise EOFError
    return found


def _zstd(body: bytes, most: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    with reader.stream_reader(body, read_across_frames=True) as stream:
        return stream.read(most + 1)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _inflated, "x-gzip": _inflated, "deflate": _deflated, "br": _brotli, "zstd": _zstd,
}

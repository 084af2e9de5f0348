"""Compressed bodies: what is unpacked, and what is refused."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from changeover.comparison.encodings import Undecodable, decoded

Pack = Callable[[bytes], bytes]
MOST = 10_000


def _raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKS: dict[str, tuple[str, Pack]] = {
    "gzip": ("gzip", gzip.compress), "x-gzip": ("X-GZip", gzip.compress),
    "deflate": ("deflate", zlib.compress), "raw deflate": ("deflate", _raw),
    "br": ("br", brotli.compress), "zstd": ("zstd", zstandard.compress),
    "none": ("identity", bytes), "two": ("br, gzip", lambda b: gzip.compress(brotli.compress(b))),
    "members": ("gzip", lambda b: gzip.compress(b[:3]) + gzip.compress(b[3:])),
}
packs = pytest.mark.parametrize(("encoding", "pack"), PACKS.values(), ids=PACKS)


@packs
@given(body=st.binary(max_size=300))
def test_what_was_packed_comes_out(encoding: str, pack: Pack, body: bytes) -> None:
    """Whatever it was."""
    assert decoded(pack(body), encoding, most=MOST) == body


@packs
def test_body_that_unpacks_to_too_much_is_refused(encoding: str, pack: Pack) -> None:
    """A thousand times smaller on the wire: it is not even unpacked whole."""
    with pytest.raises(Undecodable, match="more than 10000 bytes"):
        decoded(pack(b"\0" * 5_000_000), encoding, most=MOST)
    assert len(decoded(pack(b"\0" * MOST), encoding, most=MOST)) == MOST


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@given(body=st.binary(min_size=1, max_size=100))
def test_other_bytes_are_refused_or_unpacked(encoding: str, body: bytes) -> None:
    """No other exception than ours, whatever a system sends."""
    try:
        decoded(body, encoding, most=MOST)
    except Undecodable as error:
        assert encoding in str(error)


@pytest.mark.parametrize(("encoding", "words"), [
    ("compress", "unknown content encoding 'compress'"), ("gzip", "not gzip"), ("br", "not br"),
    ("gzip, gzip, gzip, gzip", "more than 3"),
])
def test_reason_says_what_is_wrong(encoding: str, words: str) -> None:
    """In the words that an engineer finds among the differences."""
    with pytest.raises(Undecodable, match=words):
        decoded(b'{"a": 1}', encoding, most=MOST)


@pytest.mark.parametrize("name", ["gzip", "br", "deflate"])
def test_body_that_breaks_off_is_refused(name: str) -> None:
    """Half an answer is no answer."""
    encoding, pack = PACKS[name]
    with pytest.raises(Undecodable):
        decoded(pack(bytes(range(256)))[:-9], encoding, most=MOST)


def test_empty_body_stays_empty() -> None:
    """Answers to HEAD and 304 name an encoding, and have no body."""
    assert decoded(b"", "gzip", most=MOST) == b""

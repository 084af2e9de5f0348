"""Bytes into text: byte order marks, charsets, and what is no text at all. Pure."""

from __future__ import annotations

import codecs
import re

# UTF-32 before UTF-16: the mark of the one begins with that of the other.
_MARKS = [
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
_NO_CHARSETS = frozenset({
    "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem",
})
"""Encodings of Python's that no answer is written in, though a header may say so."""
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


class Unparsable(ValueError):
    """A body is not what its content type says."""


def charset_in(parameters: str) -> str:
    """Return the charset that a content type's parameters name; empty when they name none."""
    found = _CHARSET.search(parameters)
    return found.group(1) if found else ""


def mark_of(body: bytes) -> tuple[str, int]:
    """Return the encoding that a byte order mark names, and the mark's length; ("", 0) without."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return encoding, len(mark)
    return "", 0


def decode(body: bytes, charset: str) -> str:
    """Return a text by its byte order mark, else by its charset.

    Raises:
        Unparsable: The bytes are not of that charset, or nobody knows it.
    """
    encoding, length = mark_of(body)
    charset = encoding or charset
    try:
        if codecs.lookup(charset).name.replace("-", "_") in _NO_CHARSETS:
            raise LookupError(charset)
        text = body[length:].decode(charset)
        # UTF-7 can hold halves of surrogate pairs, which are no text: this refuses them.
        if not text.isascii():
            text.encode()
    except (LookupError, ValueError) as error:
        raise Unparsable(f"not text in {charset}: {error}") from error
    return text

"""Bodies of several parts, as batches are answered: each with its headers and what it is. Pure.

The line between the parts is made anew for each answer. So it is no part of what is compared.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP

from changeover.comparison.texts import Unparsable

MOST_NESTED = 3
MOST_PARTS = 10_000
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]+)\"|([^\s;,]+))", re.IGNORECASE)


def parts_of(body: bytes, content_type: str) -> list[tuple[dict[str, str], bytes]]:
    """Return each part's headers, by name in lower case, and its bytes, decoded.

    Source: RFC 2046, section 5.1.

    Raises:
        Unparsable: The type names no boundary, or the body has no such parts.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise Unparsable("not of several parts: the content type names no boundary")
    line = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    edge = rb"(?:\A|\r?\n)" + re.escape(line) + rb"(--|)[ \t]*(?:\r?\n|\Z)"
    # Parts stand at every second place, between them what the group found: `--` at the end.
    pieces = re.split(edge, body)
    if len(pieces) < 3 or pieces[-2] != b"--" or len(pieces) > 2 * MOST_PARTS:
        raise Unparsable(f"not of several parts, at most {MOST_PARTS}, between the lines that the "
                         "content type names")
    return [_part(piece) for piece in pieces[2:-2:2]]


def _part(piece: bytes) -> tuple[dict[str, str], bytes]:
    if piece.startswith((b"\r\n", b"\n")):  # no headers at all
        return {}, piece.lstrip(b"\r")[1:]
    head, empty_line, body = re.split(rb"(\r?\n\r?\n|\Z)", piece, maxsplit=1)[:3]
    try:
        message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + empty_line, True)
        headers = {name.lower(): str(value) for name, value in message.items()}
    except (MessageError, ValueError, LookupError) as error:
        raise Unparsable(f"a part has broken headers: {error}") from error
    # Mail's encodings: HTTP needs none, but batches are often made by a library for mail.
    if headers.get("content-transfer-encoding", "").lower() in ("base64", "quoted-printable"):
        message.set_payload(body.decode("latin-1"))
        body = message.get_payload(decode=True) or b""
    return headers, body

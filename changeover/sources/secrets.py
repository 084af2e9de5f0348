"""The credentials of sources: read when they are needed, kept nowhere, shown never."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from changeover.sources.answer import NoAnswer

HIDDEN = "***"


def read_variable(name: str) -> str:
    """Return a variable's value.

    Raises:
        NoAnswer: It is not set, or cannot be sent.
    """
    found = os.environ.get(name, "").strip()
    if not found:
        raise NoAnswer(f"the variable {name} is not set here; set it where `changeover up` starts")
    if not found.isprintable():
        raise NoAnswer(f"the variable {name} has characters that cannot be sent")
    return found


def hide(text: str, variables: Iterable[str]) -> str:
    """Return a text without the values of variables, however they are written there."""
    # an error may repeat a secret as it was sent: encoded for a URL or a header
    values: set[str] = set()
    for name in variables:
        found = os.environ.get(name, "").strip()
        # `user:password` and URLs: each part may appear alone
        for part in (found, *_parts(found)):
            values |= {part, quote(part, safe=""), base64.b64encode(part.encode()).decode()}
    for value in sorted(values, key=len, reverse=True):
        if len(value) > 2:  # shorter ones are in every text
            text = text.replace(value, HIDDEN)
    return text


def _parts(found: str) -> list[str]:
    """Return the passwords in `user:password` and in a URL, as written and decoded."""
    credentials, passwords = found, []
    if "://" in found:
        credentials, _, rest = found.partition("://")[2].rpartition("@")
        passwords = re.findall(r"[?&]password=([^&]+)", rest)
    _, is_pair, password = credentials.partition(":")
    if is_pair and password:
        passwords.append(password)
    return [*passwords, *map(unquote, passwords)]

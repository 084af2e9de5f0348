"""A quarantine's manifest: a line for each thing, written before it is moved.

It lies in the candidate's folder, so what it says is not trusted: a line whose parts could lead
anywhere but down is no line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.cleanup.dry_run import Found
from changeover.cleanup.handles import beneath, names_in

MANIFEST, FILES = "manifest.jsonl", "files"
_LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the thing's number, its parts below the root, and its inode."""

    number: int
    parts: tuple[str, ...]
    inode: int


def lines(place: int) -> list[Line]:
    """Return what an open quarantine's manifest says.

    A line that a kill cut short is none: nothing is moved before its line is on the disk.
    """
    try:
        handle = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    except FileNotFoundError:
        return []
    with os.fdopen(handle, "rb") as file:
        text = file.read(_LARGEST)
    return [line for raw in text.split(b"\n")[:-1] if (line := _line(raw)) is not None]


def _line(raw: bytes) -> Line | None:
    try:
        data: dict[str, Any] = json.loads(raw)
        parts = tuple(str(part) for part in data["parts"])
        is_safe = bool(parts) and all(
            part not in ("", ".", "..") and "/" not in part and "\0" not in part for part in parts)
        return Line(int(data["number"]), parts, int(data["inode"])) if is_safe else None
    except (ValueError, KeyError, TypeError):
        return None


def note(place: int, found: Sequence[Found], *, at: datetime) -> list[Line]:
    """Write a line for each thing, wait until they are on the disk, and return them.

    Raises:
        OSError: They cannot be written.
    """
    with beneath(place, [FILES]) as files:
        used = [int(name) for name in names_in(files) if name.isdecimal()]
    first = max([0, *used, *(line.number for line in lines(place))]) + 1
    new = [Line(first + index, each.parts, each.facts.inode) for index, each in enumerate(found)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(MANIFEST, flags, 0o600, dir_fd=place), "ab") as file:
        # the line end first: it ends a line that a kill cut short
        file.write(b"\n" + b"".join(
            json.dumps({"number": line.number, "parts": line.parts, "inode": line.inode,
                        "at": at.isoformat()}).encode() + b"\n" for line in new))
        file.flush()
        os.fsync(file.fileno())
    os.fsync(place)
    return new

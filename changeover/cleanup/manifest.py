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
"""Bytes that are read: a file that never ends would fill the memory."""


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
        # not blocking: somebody may have put a pipe there, on which opening waits for ever
        handle = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    except FileNotFoundError:
        return []
    with os.fdopen(handle, "rb") as file:
        text = file.read(_LARGEST)
    found = []
    # what stands behind the last line end was cut short
    for raw in text.split(b"\n")[:-1]:
        line = _line(raw)
        if line is not None:
            found.append(line)
    return found


def _line(raw: bytes) -> Line | None:
    try:
        data: dict[str, Any] = json.loads(raw)
        parts = tuple(str(part) for part in data["parts"])
        if not parts or not all(_leads_down(part) for part in parts):
            return None
        return Line(int(data["number"]), parts, int(data["inode"]))
    except (ValueError, KeyError, TypeError):  # not written by us
        return None


def _leads_down(part: str) -> bool:
    """Whether a name leads to something in its folder, never up or elsewhere."""
    return part not in ("", ".", "..") and "/" not in part and "\0" not in part


def note(place: int, found: Sequence[Found], *, at: datetime) -> list[Line]:
    """Write a line for each thing, wait until they are on the disk, and return them.

    Raises:
        OSError: They cannot be written.
    """
    # above every number in use, noted or not: an earlier call may have been killed in between
    with beneath(place, [FILES]) as files:
        used = [int(name) for name in names_in(files) if name.isdecimal()]
    noted = [line.number for line in lines(place)]
    first = max([0, *used, *noted]) + 1
    new = [Line(first + index, each.parts, each.facts.inode) for index, each in enumerate(found)]
    text = b"\n"  # first of all: it ends a line that a kill cut short
    for line in new:
        data = {"number": line.number, "parts": line.parts, "inode": line.inode,
                "at": at.isoformat()}
        text += json.dumps(data).encode() + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(MANIFEST, flags, 0o600, dir_fd=place), "ab") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    # the folder, too: a file that was only just made is lost without its entry there
    os.fsync(place)
    return new
    os.fsync(place)
    return new

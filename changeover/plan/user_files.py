"""Reading the files with lists of users that a plan's segments name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from changeover.plan import user_lists
from changeover.plan.location import Location
from changeover.plan.user_lists import UserList

Document = dict[str, Any]
Found = tuple[Location, str]


def with_lists(
    document: Document, folder: Path
) -> tuple[Document, dict[str, UserList], list[Found]]:
    """Return a plan's document that knows its lists, the lists, and what is wrong with files.

    Args:
        document: The plan as it was read, of one environment; it is not changed.
        folder: The plan's folder, in which the files are.
    """
    routing = document.get("routing")
    segments = routing.get("segments") if isinstance(routing, Mapping) else None
    if not isinstance(routing, Mapping) or not isinstance(segments, Mapping):
        return document, {}, []
    lists: dict[str, UserList] = {}
    once = cache(partial(_read, folder))
    problems: list[Found] = []
    read = dict(segments)
    for name, spec in segments.items():
        # what is no mapping, or no path, the model says with the rest
        if not isinstance(spec, Mapping) or not _is_path(spec.get("file")):
            continue
        try:
            found = once(spec["file"])
        except ValueError as error:
            problems.append((("routing", "segments", name, "file"), str(error)))
        else:
            lists[found.sha256] = found
            read[name] = {**spec, "listed": found.spec.model_dump()}
    return {**document, "routing": {**routing, "segments": read}}, lists, problems


def _is_path(text: Any) -> bool:
    """Whether a text can be the path of a list; the model says what is wrong with any other."""
    try:
        user_lists.list_path(text)
    except (ValueError, AttributeError):
        return False
    return True


def _read(folder: Path, text: str) -> UserList:
    """Return the list in a file.

    Raises:
        ValueError: It is not in the folder, cannot be read, or is no list.
    """
    path, inside = (folder / text).resolve(), folder.resolve()
    # a plan of others must not make us read this machine's files, by a link neither
    if not path.is_relative_to(inside):
        raise ValueError(f"{text} leads outside the plan's folder {inside}; put the file into it")
    try:
        # a pipe would keep us waiting
        if path.exists() and not path.is_file():
            raise ValueError(f"{text} is no file")
        size = path.stat().st_size
        if size > user_lists.LARGEST_BYTES:
            raise ValueError(f"{text} has {size} bytes; the limit is {user_lists.LARGEST_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{text} cannot be read in {inside}: {error.strerror}; the path is "
                         "relative to the plan") from None
    try:
        return user_lists.parse(content)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None

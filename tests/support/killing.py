"""Killing a piece of code at its lines: a forked child that ends itself with SIGKILL."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from types import FrameType
from typing import Any

Action = Callable[[], object]


def each_kill(
    files: tuple[str, ...], prepare: Action, action: Action, *, since: str = "",
    outside: Action | None = None,
) -> Iterator[int]:
    """Kill an action before every line that it runs, at the line's first and at its last time.

    With `outside`, not at those between two others before which it is the same: a kill at them
    leaves nothing else.

    Args:
        files: Ends of the paths of the files whose lines count, as `cleanup/move.py`.
        prepare: Makes the same state before each kill.
        action: What is killed, in a child process.
        since: The file before whose first line nothing is done that a kill could leave half done:
            of the lines before it, only the very first one is taken.
        outside: Returns all that the action could leave behind, as it is at the moment.

    Yields:
        The number of the line that it was killed at, counted over all lines that it runs.
    """
    prepare()
    lines = lines_of(files, action)
    assert lines, f"nothing of {files} runs"
    first = {line: number for number, line in reversed(list(enumerate(lines, 1)))}
    last = {line: number for number, line in enumerate(lines, 1)}
    begun = next(number for number, (name, _) in enumerate(lines, 1) if name.endswith(since))
    numbers = [number for number in sorted({*first.values(), *last.values()})
               if number == 1 or number >= begun]
    if outside is not None:
        prepare()
        numbers = _that_differ(_marks(files, action, numbers, outside))
    for number in numbers:
        prepare()
        killed_at(number, files, action)
        yield number


def in_child(action: Callable[[], str]) -> str:
    """Do something in a child process, which takes all that it opened with it; return its text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            text = action()
        except BaseException as error:  # noqa: BLE001  a child of pytest must not go on as pytest
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        with os.fdopen(writing, "w") as file:
            file.write(text)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "it failed; its error stands above"
    return said


def lines_of(files: tuple[str, ...], action: Action) -> list[tuple[str, int]]:
    """Return the lines that an action runs, found out in a child, which carries it out."""
    def noted() -> str:
        seen: list[tuple[str, int]] = []
        _traced(files, lambda frame: seen.append((frame.f_code.co_filename, frame.f_lineno)),
                action)
        return json.dumps(seen)

    return [(name, number) for name, number in json.loads(in_child(noted))]


def _marks(
    files: tuple[str, ...], action: Action, numbers: Sequence[int], outside: Action
) -> list[tuple[int, str]]:
    """Return what is outside before the lines of some numbers, found out in a child."""
    def noted() -> str:
        wanted, passed = set(numbers), 0
        seen: list[tuple[int, str]] = []

        def at_line(_frame: FrameType) -> None:
            nonlocal passed
            passed += 1
            if passed in wanted:
                seen.append((passed, repr(outside())))

        _traced(files, at_line, action)
        return json.dumps(seen)

    return [(number, mark) for number, mark in json.loads(in_child(noted))]


def _that_differ(marks: Sequence[tuple[int, str]]) -> list[int]:
    """Return the first and the last of each row of numbers with the same mark."""
    found: dict[int, None] = {}
    for _, row in itertools.groupby(marks, key=itemgetter(1)):
        numbers = [number for number, _ in row]
        found |= dict.fromkeys((numbers[0], numbers[-1]))
    return list(found)


def files_below(root: Path) -> dict[str, int]:
    """Return a checksum of each file below a directory, but of what SQLite makes anew itself."""
    return {str(path): zlib.crc32(path.read_bytes()) for path in sorted(root.rglob("*"))
            if path.is_file() and not path.name.endswith("-shm")}


def killed_at(number: int, files: tuple[str, ...], action: Action) -> None:
    """Do an action in a child that is killed before the line of a number, from 1."""
    child = os.fork()
    if child == 0:
        left = number

        def count(_frame: FrameType) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        _traced(files, count, action)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (number, status)


def _traced(files: tuple[str, ...], at_line: Callable[[FrameType], None], action: Action) -> None:
    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(files):
            return None
        if event == "line":
            at_line(frame)
        return trace

    try:
        sys.settrace(trace)
        action()
    except BaseException as error:  # noqa: BLE001  a child of pytest must not go on as pytest
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)
    finally:
        sys.settrace(None)

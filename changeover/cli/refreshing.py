"""Output that is refreshed until Ctrl-C: in place on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from changeover import clock
from changeover.errors import EXIT_OK, ChangeoverError, InvalidInput

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHORTEST, LONGEST = 0.2, 3600.0
"""Seconds between two refreshes: more often would be a load of its own on the store."""
EXIT_TERMINATED = 128 + signal.SIGTERM
"""What shells say of a process that SIGTERM ended."""


@dataclass(frozen=True, slots=True)
class View:
    """What one refresh shows: in place, as plain lines, and to programs."""

    text: str
    data: Any
    drawn: RenderableType | None = None


@dataclass
class Refreshing:
    """Shows a view again and again.

    Args:
        look: Returns the newest view.
        every: Seconds between two refreshes.
        seconds: Ends by itself after so many seconds; None: with Ctrl-C only.
        is_json: One line of JSON for each refresh.
        title: Stands before the time, in place.
    """

    look: Callable[[], View]
    every: float
    seconds: float | None = None
    is_json: bool = False
    title: str = ""
    newest: View = field(init=False)
    problem: str = field(init=False, default="")

    def run(self) -> int:
        """Refresh until the end or Ctrl-C; return the exit code, 0."""
        # what cannot be read at all is an error of the command; later it is only said
        self.newest = self.look()
        try:
            with _ended_by_signal():
                if self.is_json or not _can_be_moved_in():
                    self._in_lines()
                else:
                    self._in_place()
        except KeyboardInterrupt:
            # nothing was left undone: this is how it is meant to end
            return EXIT_OK
        except BrokenPipeError:
            _forget_output()
        return EXIT_OK

    def _turns(self) -> Iterator[None]:
        """Yield for every refresh; the view is the newest by then."""
        began = time.monotonic()
        yield
        while True:
            passed = time.monotonic() - began
            left = self.every
            if self.seconds is not None:
                left = min(left, self.seconds - passed)
            if left <= 0:
                return
            time.sleep(left)
            try:
                self.newest, self.problem = self.look(), ""
            except ChangeoverError as error:
                self.problem = f"cannot be read now: {error}"
            yield

    def _in_lines(self) -> None:
        for _ in self._turns():
            if self.problem:
                click.echo(f"changeover: {self.problem}", err=True)
            elif self.is_json:
                click.echo(json.dumps(self.newest.data, default=str))
            else:
                click.echo(self.newest.text)
            # a reader at the other end of a pipe sees it at once
            sys.stdout.flush()

    def _in_place(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console()
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                for _ in self._turns():
                    live.update(self._screen(console), refresh=True)
        finally:
            # the screen is gone with the program: what was seen last stays readable
            click.echo(self.newest.text)

    def _screen(self, console: Console) -> RenderableType:
        """Return what fits on the screen, with a line below that says how to end it."""
        from rich.console import Group
        from rich.segment import Segment, Segments
        from rich.text import Text

        drawn = self.newest.drawn
        if drawn is None:
            drawn = Text(self.newest.text)
        room = max(1, console.height - 2)
        options = console.options.update(height=None)
        lines = console.render_lines(drawn, options, pad=False)
        hidden = len(lines) - room
        if hidden > 0:
            lines = lines[:room]
        segments = []
        for line in lines:
            segments += [*line, Segment.line()]
        return Group(Segments(segments), self._foot(hidden, console.width))

    def _foot(self, hidden: int, width: int) -> RenderableType:
        from rich.text import Text

        parts = [f"{clock.now():%H:%M:%S} UTC, every {self.every:g} s, Ctrl-C ends"]
        if hidden > 0:
            parts.insert(0, f"{hidden} more lines below")
        if self.problem:
            parts.insert(0, self.problem)
        foot = Text("; ".join(parts), style="reverse", no_wrap=True, overflow="ellipsis")
        foot.truncate(width, overflow="ellipsis")
        return foot


def _can_be_moved_in() -> bool:
    """Whether output is a terminal in which the cursor can be moved."""
    kind = os.environ.get("TERM", "dumb")
    return sys.stdout.isatty() and kind not in ("dumb", "unknown", "")


def _forget_output() -> None:
    """Let the interpreter end without a word although nobody reads its output any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Leave the terminal as it was also after SIGTERM."""
    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:
        # only the main thread may: elsewhere nobody sends one either
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def seconds_of(text: str, where: str) -> float:
    """Return a number of seconds, or a duration as `2m`, as seconds between two refreshes.

    Raises:
        InvalidInput: It is neither, or too short or too long to be useful.
    """
    found = duration_of(text, where)
    if not SHORTEST <= found <= LONGEST:
        raise InvalidInput(
            f"{text} is no time between two refreshes", where=where,
            allowed=f"{SHORTEST:g} to {LONGEST:g} seconds")
    return found


def duration_of(text: str, where: str) -> float:
    """Return a number of seconds, or a duration as `2h`, as seconds.

    Raises:
        InvalidInput: It is neither, or not more than 0.
    """
    from changeover.plan.units import parse_duration

    try:
        # a bare number is seconds, as in the shell's `sleep`
        found = float(text)
    except ValueError:
        try:
            found = parse_duration(text).total_seconds()
        except ValueError:
            found = 0.0
    if not 0 < found < float("inf"):
        raise InvalidInput(
            f"{text!r} is no time", where=where, allowed="more than 0, as 15, 90s or 2h")
    return found

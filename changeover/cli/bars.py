"""Progress for whatever takes longer than a second: on standard error, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Advance = Callable[[int], None]
Report = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is; 0 where nobody knows yet."""


def is_shown(*, is_hidden: bool = False) -> bool:
    """Whether bars are of use: somebody looks at standard error."""
    return not is_hidden and sys.stderr.isatty()


def progress(*columns: str | ProgressColumn, is_hidden: bool = False) -> Progress:
    """Return bars with the usual columns and these; they vanish when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    named = TextColumn("{task.description}")
    # on standard error: what a command finds may go into a file
    return Progress(
        named, BarColumn(), *columns, console=Console(stderr=True),
        transient=True, disable=not is_shown(is_hidden=is_hidden))


@contextmanager
def bar(what: str, total: int, *, is_hidden: bool = False) -> Iterator[Advance]:
    """Show one bar; yields what is called with how much more was done."""
    if not is_shown(is_hidden=is_hidden):
        yield lambda number: None
        return
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    with progress(MofNCompleteColumn(), TimeRemainingColumn()) as bars:
        task = bars.add_task(what, total=total)
        yield lambda number: bars.advance(task, number)


@contextmanager
def several(*, unit: str = "", is_hidden: bool = False) -> Iterator[Report]:
    """Show a bar for each piece of work, made when it is first told of.

    Args:
        unit: What is counted, as `rows`; empty for a percentage.
        is_hidden: Whether nothing is shown at all.
    """
    if not is_shown(is_hidden=is_hidden):
        yield lambda what, done, total: None
        return
    from rich.progress import MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns: list[Any] = [TaskProgressColumn(), TimeElapsedColumn()]
    if unit:
        columns = [MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn()]
    with progress(*columns) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            # how much there is may not be known before the end
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield report


@contextmanager
def spinner(text: str, *, is_hidden: bool = False) -> Iterator[Callable[[str], None]]:
    """Show that something goes on whose end nobody can tell; yields what changes the text."""
    if not is_shown(is_hidden=is_hidden):
        yield lambda newer: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(text, total=None)
        yield lambda newer: shown.update(task, description=newer)

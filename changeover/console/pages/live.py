"""Tells open pages what changed: one look at the store for all who look at the same."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import orjson

from changeover.console.pages.rendering import Rendered
from changeover.console.pages.worker import Renderer
from changeover.errors import ChangeoverError

LOG = logging.getLogger("changeover.console.pages")
LOOK_SECONDS = 1.0
PAUSES = 4
"""Between two looks there are so many times the seconds of CPU that one costs."""
QUIET_SECONDS = 15.0
"""A stream says at least so often that it is there."""
MOST_STREAMS = 200


@dataclass
class Channel:
    """A view in a time range, and those who look at it.

    Args:
        view: Name of the view.
        range: Name of the time range.
    """

    view: str
    range: str
    open: int = 0
    latest: Rendered | None = None
    problem: str = ""
    changes: dict[str, int] = field(default_factory=dict)
    number: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    _coded: dict[int, bytes] = field(default_factory=dict)

    def take(self, rendered: Rendered) -> None:
        """Take a new look; what is as before keeps its number."""
        before = _parts(self.latest) if self.latest else {}
        self.latest, self.problem = rendered, ""
        self._next()
        for name, content in _parts(rendered).items():
            if before.get(name) != content:
                self.changes[name] = self.number

    def fail(self, why: str) -> None:
        """Say that the store cannot be read; what was seen last stays."""
        self.problem = why
        self._next()

    def since(self, number: int) -> bytes:
        """Return what changed after the change `number`, as one event; made once for all."""
        if number not in self._coded:
            self._coded[number] = self._event(number)
        return self._coded[number]

    def _next(self) -> None:
        self.number += 1
        self._coded.clear()
        self.changed.set()
        self.changed = asyncio.Event()

    def _event(self, number: int) -> bytes:
        data: dict[str, Any] = {"problem": self.problem, "sections": {}, "charts": {}}
        if self.latest is not None:
            data |= {"at": self.latest.at, "measured_at": self.latest.measured_at}
            for name, changed in self.changes.items():
                kind, _, key = name.partition(" ")
                parts = getattr(self.latest, kind)
                if changed > number and key in parts:
                    data[kind][key] = parts[key]
        return b"event: look\ndata: %b\n\n" % orjson.dumps(data)


def _parts(rendered: Rendered) -> dict[str, Any]:
    sections = {f"sections {name}": html for name, html in rendered.sections.items()}
    return sections | {f"charts {name}": data for name, data in rendered.charts.items()}


class Hub:
    """The channels that somebody looks at.

    Args:
        renderer: Makes the looks.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._channels: dict[tuple[str, str], Channel] = {}

    @property
    def open(self) -> int:
        """Streams that are open."""
        return sum(each.open for each in self._channels.values())

    async def stream(self, view: str, chosen: str) -> AsyncGenerator[bytes]:
        """Yield events without end: first everything, then what changed.

        Args:
            view: Name of the view.
            chosen: Name of the time range.
        """
        channel = self._join(view, chosen)
        try:
            yield b"retry: 2000\n\n"
            seen = 0
            while True:
                if channel.number > seen:
                    text, seen = channel.since(seen), channel.number
                    yield text
                    continue
                if not await _is_set(channel.changed, QUIET_SECONDS):
                    yield b": still here\n\n"
        finally:
            self._leave(channel)

    def _join(self, view: str, chosen: str) -> Channel:
        key = view, chosen
        channel = self._channels.setdefault(key, Channel(view, chosen))
        channel.open += 1
        if channel.task is None:
            channel.task = asyncio.create_task(self._look(channel))
        return channel

    def _leave(self, channel: Channel) -> None:
        channel.open -= 1
        if channel.open or channel.task is None:
            return
        channel.task.cancel()
        channel.task = None
        # nobody looks: the next one begins with a look of its own
        self._channels.pop((channel.view, channel.range), None)

    async def _look(self, channel: Channel) -> None:
        while True:
            began, cost = time.monotonic(), 0.0
            try:
                rendered = await self._renderer.render(channel.view, channel.range)
                channel.take(rendered)
                cost = rendered.cost
            # what cannot be read now may be read in a second
            except ChangeoverError as error:
                LOG.warning("page %s: %s", channel.view, error)
                channel.fail(error.what)
            took = time.monotonic() - began
            await asyncio.sleep(max(LOOK_SECONDS - took, PAUSES * cost))


async def _is_set(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True

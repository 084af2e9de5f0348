"""A desktop behind websockify, moved to websocketd: noVNC, `websockets` and curl go on working."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.exceptions import WebSocketException

from examples.pairs.browser import CHROMIUM, BrowserClient
from examples.pairs.clients import Client, NoticedError, curl, require
from examples.pairs.desktop.rfb import Desktop
from examples.pairs.pair import Pair, Where

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path("/usr/share/novnc")
FILES = ["vnc.html", "vnc_lite.html", "core/rfb.js", "app/styles/base.css", "app/locale/de.json",
         "app/images/icons/novnc-icon.svg", "app/sounds/bell.oga"]
DESKTOP = 8629
"""The desktop's port, as it stands in the plan."""


class CurlClient(Client):
    """Reads noVNC's files."""

    name = "curl"
    pause_seconds = 0.3

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count()

    def act(self) -> int:
        """Ask for one file in two ways, a folder, and what is not there."""
        number = next(self._numbers)
        file, user = FILES[number % len(FILES)], f"user-{number % 200:03d}"
        content = (ROOT / file).read_bytes()
        got = curl(f"{self._url}/{file}", user=user)
        require(got.status == 200 and got.body == content, f"{file}: {got.status}")
        head = curl(f"{self._url}/{file}", "--head", user=user)
        require(head.headers["content-length"] == str(len(content)), f"HEAD {file}: {head}")
        folder = curl(f"{self._url}/core", "--location", user=user)
        require(folder.status == 200 and b"rfb.js" in folder.body, f"a folder: {folder.status}")
        missing = curl(f"{self._url}/missing-{number % 10}", user=user)
        require(missing.status == 404, f"what is not there: {missing.status}")
        return 5


class NewSessions(Client):
    """Opens a session of another user each time, and looks at every pixel."""

    name = "websockets, new sessions"
    pause_seconds = 0.3

    def __init__(self, where: Where) -> None:
        self._url = f"{where.gateway.replace('http', 'ws')}/websockify"
        self._straight = f"{where.baseline.replace('http', 'ws')}/websockify"
        self._numbers = itertools.count()
        self._wanted = ""

    def begin(self) -> None:
        """Learn how the desktop looks, straight from the baseline."""
        self._wanted = _picture(self._straight, "straight")

    def act(self) -> int:
        """See the same through the gateway."""
        user = f"user-{next(self._numbers) % 200:03d}"
        require(_picture(self._url, user) == self._wanted, f"{user} sees another picture")
        return 1


class LongSession(Client):
    """One session from the first user's move to the last: it is not cut."""

    name = "websockets, one long session"
    pause_seconds = 1.0

    def __init__(self, url: str) -> None:
        self._url = f"{url.replace('http', 'ws')}/websockify"
        self._desktop: Desktop | None = None
        self._wanted = ""

    def begin(self) -> None:
        """Open the session."""
        self._desktop = Desktop(self._url, "long")
        self._wanted = self._desktop.picture()

    def act(self) -> int:
        """Ask for the picture again."""
        assert self._desktop is not None  # noqa: S101  begun before
        with _noticing():
            require(self._desktop.picture() == self._wanted, "the picture changed")
        return 1

    def end(self) -> None:
        """Close it."""
        if self._desktop is not None:
            self._desktop.close()


class NoVnc(BrowserClient):
    """Opens noVNC, which shows the desktop; its canvas has the same pixels each time."""

    pause_seconds = 2.0

    def __init__(self, url: str) -> None:
        super().__init__(url, acts_each=3)
        self._wanted = ""

    def visit(self, page: Page, number: int) -> Iterator[None]:
        """Connect, and look at the canvas."""
        port = self.url.rpartition(":")[2]
        page.goto(f"{self.url}/vnc_lite.html?host=127.0.0.1&port={port}&path=websockify")
        page.wait_for_function(
            "document.getElementById('status').textContent.startsWith('Connected')")
        page.wait_for_function("document.querySelector('#screen canvas')?.width > 100")
        page.wait_for_timeout(500)  # the picture follows
        yield
        seen = page.evaluate("document.querySelector('#screen canvas').toDataURL()")
        self._wanted = self._wanted or seen
        if seen != self._wanted:
            raise NoticedError("the canvas shows another picture")


class _noticing:  # noqa: N801  used like a function
    """Turn what the library raises into what a user notices."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (WebSocketException, OSError)):
            raise NoticedError(f"{type(error).__name__}: {error}") from error


def _picture(url: str, user: str) -> str:
    with _noticing():
        desktop = Desktop(url, user)
        try:
            return desktop.picture()
        finally:
            desktop.close()
    raise AssertionError  # the block returns or raises


def _services(where: Where) -> dict[str, tuple[list[str], int]]:
    port = where.ports[DESKTOP]
    return {"desktop": ([
        "Xtigervnc", f":{port}", "-rfbport", str(port), "-localhost", "-SecurityTypes", "None",
        "-geometry", "320x240", "-depth", "24", "-AlwaysShared", "-retro"], port)}


PAIR = Pair(
    name="desktop",
    about="A desktop in the browser moves from websockify to websocketd.",
    clients=lambda where: [CurlClient(where.gateway), NewSessions(where),
                           LongSession(where.gateway), NoVnc(where.gateway)],
    programs={"websockify": "websockify", "websocketd": "websocketd", "curl": "curl",
              "Xtigervnc": "tigervnc-standalone-server", "nc": "netcat-openbsd",
              "chromium": "chromium"},
    files={str(ROOT / "vnc_lite.html"): "novnc", CHROMIUM: "chromium"},
    services=_services,
)

"""Calendars on Radicale 2, moved to Radicale 3: `caldav`, `vdirsyncer` and curl go on working."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from examples.pairs.clients import Client, Script, curl, require, run
from examples.pairs.pair import FOLDER, Pair, Where

SYNC = """[general]
status_path = "{folder}/status/"
[pair calendars]
a = "mine"
b = "server"
collections = ["from a", "from b"]
conflict_resolution = "a wins"
[storage mine]
type = "filesystem"
path = "{folder}/{{}}/"
fileext = ".ics"
[storage server]
type = "caldav"
url = "{url}/"
username = "{user}"
password = "secret"
"""
EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//pairs//sync//EN\r
BEGIN:VEVENT\r
UID:{uid}\r
DTSTAMP:20260101T000000Z\r
DTSTART:202603{day:02d}T100000Z\r
SUMMARY:{summary}\r
END:VEVENT\r
END:VCALENDAR\r
"""


ALL = '<propfind xmlns="DAV:"><allprop/></propfind>'
READERS = 20


class CurlClient(Client):
    """Asks what a server can do, as programs do that look for calendars."""

    name = "curl"
    pause_seconds = 0.3

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count()

    def act(self) -> int:
        """Ask for the page, the options, and where calendars are."""
        user = f"curl-{next(self._numbers) % 20:02d}"
        options = ("--user", f"{user}:secret")
        page = curl(f"{self._url}/.web/", *options, user=user)
        require(page.status == 200 and b"Radicale" in page.body, f"the page: {page.status}")
        able = curl(f"{self._url}/{user}/", "--request", "OPTIONS", *options, user=user)
        require(able.status == 200 and "calendar-access" in able.headers["dav"],
                f"OPTIONS: {able.status} {able.headers}")
        place = curl(f"{self._url}/.well-known/caldav", *options, user=user)
        require(place.status in (301, 404), f"where calendars are: {place.status}")
        missing = curl(f"{self._url}/{user}/none.ics", *options, user=user)
        require(missing.status == 404, f"a missing calendar: {missing.status}")
        reader = f"reader-{next(self._numbers) % READERS:02d}"
        every = curl(f"{self._url}/{reader}/", "--user", f"{reader}:secret", "--request",
                     "PROPFIND", "--header", "depth: 1", "--data", ALL, user=reader)
        require(every.status == 207 and f"Büro {reader}".encode() in every.body,
                f"all properties: {every.status}")
        return 5


class SyncClient(Client):
    """Synchronises folders with their calendars, both ways, by tags of versions."""

    name = "vdirsyncer"
    pause_seconds = 0.5

    def __init__(self, where: Where) -> None:
        self._where = where
        self._program = str(where.environments / "client" / "bin" / "vdirsyncer")
        self._numbers = itertools.count()

    def act(self) -> int:
        """Have one user's folder synchronised, with one event more and one changed."""
        number = next(self._numbers)
        user = f"sync-{number % 5}"
        folder = self._where.work / "synchronised" / user
        calendar = folder / "work"
        config = folder / "config"
        is_new = not config.exists()
        calendar.mkdir(parents=True, exist_ok=True)
        (calendar / f"{number}.ics").write_text(
            EVENT.format(uid=f"{user}-{number}", summary=f"neu ü {number}", day=1), newline="")
        if older := sorted(calendar.glob("*.ics"))[:1]:
            text = older[0].read_text().replace("neu", "alt")
            older[0].write_text(text)
        if is_new:
            config.write_text(SYNC.format(folder=folder, url=self._where.gateway, user=user)
                              .replace("{}", "."))
            self._run(config, "discover", "calendars")
        self._run(config, "sync")
        return 3

    def _run(self, config: Path, *arguments: str) -> None:
        ended = run([self._program, "--config", str(config), *arguments], input="y\n" * 10)
        require(ended.returncode == 0, f"{' '.join(arguments)}: {ended.stderr.strip()[-300:]}")


def _prepare(where: Where) -> None:
    """Give every reader a calendar with three events, in the folder of both systems."""
    for number in range(READERS):
        user = f"reader-{number:02d}"
        calendar = where.work / "collections" / "collection-root" / user / "work"
        calendar.mkdir(parents=True)
        (calendar / ".Radicale.props").write_text(json.dumps(
            {"tag": "VCALENDAR", "D:displayname": f"Büro {user}"}))
        for event in (1, 5, 9):
            text = EVENT.format(uid=f"{user}-{event}", summary=f"Termin ü {event}", day=event)
            (calendar / f"{event}.ics").write_text(text, newline="")


def _clients(where: Where) -> list[Client]:
    python = str(where.environments / "client" / "bin" / "python")
    script = str(FOLDER / "calendars" / "caldav_user.py")
    return [Script("caldav", [python, script, f"{where.gateway}/"]), SyncClient(where),
            CurlClient(where.gateway)]


PAIR = Pair(
    name="calendars",
    about="Calendars move from Radicale 2 to Radicale 3.",
    clients=_clients,
    prepare=_prepare,
    programs={"curl": "curl"},
    environments={"radicale-2": ("radicale==2.1.12",), "radicale-3": ("radicale==3.9.0",),
                  "client": ("caldav==3.6.0", "vdirsyncer")},
)

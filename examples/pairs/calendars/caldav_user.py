"""Users of the library `caldav`: some only read, others write, move, query and delete events.

Runs in an environment of its own. Prints a line for each act, as `examples.pairs.clients.Script`
says, and ends when its standard input does.
"""

from __future__ import annotations

import datetime
import itertools
import os
import sys
import threading
import time

import caldav  # type: ignore[import-not-found]  # in its own environment only
from caldav.lib.error import ETagMismatchError  # type: ignore[import-not-found]

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//pairs//calendars//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
DTSTART:202602{day:02d}T100000Z
DTEND:202602{day:02d}T110000Z
SUMMARY:{summary}
END:VEVENT
END:VCALENDAR
"""
BEGIN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
USERS = 20


def main(url: str) -> None:
    """Act as one user after another until standard input ends."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    for number in itertools.count():
        is_reader = number % 2 == 0
        user = f"{'reader' if is_reader else 'user'}-{number // 2 % USERS:02d}"
        try:
            print("ok", (_read if is_reader else _write)(url, user, number), flush=True)
        except Exception as error:  # noqa: BLE001  whatever it is, a user noticed it
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print("noticed", user, text[:300], flush=True)
        time.sleep(0.05)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def _read(url: str, user: str, number: int) -> int:
    """Read a calendar that nobody changes; return how many requests that were at least."""
    client = caldav.DAVClient(url, username=user, password="secret")  # noqa: S106
    calendars = client.principal().calendars()
    names = [each.get_display_name() for each in calendars]
    _require(names == [f"Büro {user}"], f"calendars are {names}")
    found = calendars[0].search(start=BEGIN, end=BEGIN + datetime.timedelta(days=2), event=True)
    texts = [each.data for each in found]
    _require(len(texts) == 1 and "SUMMARY:Termin ü 1" in texts[0], f"found are {texts}")
    _require(len(calendars[0].events()) == 3, "not all events are there")
    calendars[0].objects_by_sync_token(load_objects=False)
    found[0].load()
    return 7


def _write(url: str, user: str, number: int) -> int:
    """Do what one user does; return how many requests that were at least."""
    client = caldav.DAVClient(url, username=user, password="secret")  # noqa: S106
    principal = client.principal()
    calendars = principal.calendars()
    calendar = calendars[0] if calendars else principal.make_calendar(name=f"Büro {user}")
    uid, day = f"{user}-{number}@pairs", number % 27 + 1
    calendar.save_event(EVENT.format(uid=uid, day=day, summary=f"Termin ü {number}"))
    read = calendar.event_by_uid(uid)
    _require(f"SUMMARY:Termin ü {number}" in read.data, "another event than was written")
    read.data = read.data.replace("Termin ü", "Verlegt ß")
    try:
        read.save()
    except ETagMismatchError:
        # Between reading and saving this user was moved, and the other version has other tags. Who
        # gets 412 reads again and changes that, as when somebody else had changed it meanwhile.
        print("remark read again after 412: moved between reading and saving", flush=True)
        read = calendar.event_by_uid(uid)
        read.data = read.data.replace("Termin ü", "Verlegt ß")
        read.save()
    found = calendar.search(
        start=BEGIN.replace(month=2, day=day), end=BEGIN.replace(month=2, day=day, hour=23),
        event=True)
    _require(any(f"Verlegt ß {number}" in each.data for each in found), "it is not found")
    _require(len(calendar.events()) >= 1, "the calendar is empty")
    calendar.objects_by_sync_token(load_objects=False)
    # a few stay, so that later users of other versions read what earlier ones wrote
    if number % 3:
        read.delete()
        _require(uid not in str([each.url for each in calendar.events()]), "it is not deleted")
    return 9


def _require(is_so: bool, problem: str) -> None:
    if not is_so:
        raise RuntimeError(problem)


if __name__ == "__main__":
    main(sys.argv[1])

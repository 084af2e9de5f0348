"""`changeover watch`: a live screen of the migration."""

from __future__ import annotations

from typing import Any

import click

from changeover import clock
from changeover.cli.common import Session, anywhere_command
from changeover.cli.refreshing import Refreshing, View, duration_of, seconds_of
from changeover.cli.status import fresh


@click.command("watch", epilog="""
\b
Examples:
  changeover watch              refreshed every 2 s until Ctrl-C
  changeover watch 15 2h        every 15 s, for two hours
  changeover watch 1m > log     a line a minute
  NO_COLOR=1 changeover watch   without colours
\b
Lines show the newest ten minutes, both systems on one scale; a blank is a time in which nothing
was measured. A bar ends at the trigger's bound. Where output is no terminal, each refresh is one
line, with --output json one document. Exit code: 0 at the end of DURATION and with Ctrl-C.
""")
@click.argument("seconds", default="2", metavar="[SECONDS]")
@click.argument("duration", required=False, metavar="[DURATION]")
@anywhere_command
def watch(session: Session, seconds: str, duration: str | None) -> int:
    """Watch the migration: both systems, the stage and its soak, triggers, and what waits."""
    every = seconds_of(seconds, "SECONDS")
    until = None if duration is None else duration_of(duration, "DURATION")
    # Rich takes long to import, and no other command that looks needs it
    from changeover.cli.picture import take
    from changeover.cli.screen import Screen, as_line

    def look() -> View:
        picture = take(fresh(session.site), now=clock.now())
        data: dict[str, Any] = {"at": picture.at.isoformat(), **picture.status}
        data |= {"lines": picture.lines, "near": picture.near}
        return View(as_line(picture), data, Screen(picture))

    return Refreshing(look, every, until, is_json=session.output == "json").run()

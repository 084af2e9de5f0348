"""`changeover wait`: until something has come, cannot come any more, or takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from changeover.cli import completing
from changeover.cli.bars import spinner
from changeover.cli.common import Session, anywhere_command
from changeover.cli.printable import printable
from changeover.cli.refreshing import duration_of
from changeover.domain.awaited import Answer, Awaited, Seen, answer
from changeover.errors import EXIT_IMPOSSIBLE, EXIT_OK, EXIT_TIMED_OUT, InvalidInput, StoreError
from changeover.site.awaiting import look
from changeover.site.site import Site

PAUSE_SECONDS = 1.0
STORE_SECONDS = 60.0
"""How long a store may fail meanwhile: a database that is restarted ends no night's wait."""
CODES = {Answer.MET: EXIT_OK, Answer.NOT_YET: EXIT_TIMED_OUT, Answer.IMPOSSIBLE: EXIT_IMPOSSIBLE}


@click.command("wait", epilog="""
\b
Examples:
  changeover wait --for waiting && say "somebody has to approve"
  changeover wait --for promoted --timeout 2h
  changeover wait --for rolled-back --output json
  changeover wait --for gradual-50 --timeout 7d
  changeover wait --for started && changeover wait --for ended
\b
started      a cutover runs
waiting      people are asked
promoted     the cutover has ended well
rolled-back  everyone is back at the baseline
ended        the cutover has ended, however
STAGE        this stage was entered, as gradual-50
\b
Looks at the cutover that runs, else at the newest one: what it has reached already is met
at once. Just after a cutover was started in Prefect, wait for `started` first.
Exit codes: 0 met, 2 wrong input, 5 the store cannot be used, 8 timed out,
9 it cannot come any more (waiting for promoted, and it was rolled back), 130 interrupted.
""")
@click.option("--for", "wanted", required=True, metavar="WHAT",
              shell_complete=completing.awaited,
              help="started, waiting, promoted, rolled-back, ended, or a stage.")
@click.option("--timeout", metavar="TIME", help="Longest wait, as 90s or 2h; default: no end.")
@click.option("--cutover", type=int, metavar="ID",
              help="Number of the cutover, also of one that has not begun; default: the newest.")
@anywhere_command
def wait_command(
    session: Session, wanted: str, timeout: str | None, cutover: int | None
) -> int:
    """Wait until people are asked, a stage is entered, or the cutover has ended."""
    # before the store is opened: a misspelt wait should not begin
    seconds = None if timeout is None else duration_of(timeout, "--timeout")
    _check(session, wanted)
    began = time.monotonic()
    with spinner(f"waiting for {wanted}") as show:
        waiting = _Waiting(session.site, wanted, cutover, show)
        found, seen = waiting.until(None if seconds is None else began + seconds)
    passed = time.monotonic() - began
    text = _text(wanted, found, seen)
    data = {"for": wanted, "is_met": found is Answer.MET, "result": str(found)}
    data |= {"cutover": seen.cutover, "text": text, "waited_seconds": round(passed, 1)}
    session.show(printable(text), data)
    return CODES[found]


def _check(session: Session, wanted: str) -> None:
    """Refuse to wait for what does not exist."""
    if wanted in set(Awaited):
        return
    keys = [stage.key for stage in session.site.plan.stages()]
    if wanted not in keys:
        raise InvalidInput(
            f"nobody can wait for {wanted!r}", where="--for",
            allowed=", ".join([*Awaited, *keys]))


def _text(wanted: str, found: Answer, seen: Seen) -> str:
    if found is Answer.MET:
        return f"{wanted}: {seen.text}"
    if found is Answer.IMPOSSIBLE:
        return f"{wanted} cannot come any more: {seen.text}"
    return f"{wanted} did not come in time: {seen.text}"


class _Waiting:
    """Looks at the store once a second."""

    def __init__(
        self, site: Site, wanted: str, cutover: int | None, show: Callable[[str], None]
    ) -> None:
        self._site, self._wanted, self._cutover = site, wanted, cutover
        self._show, self._failing_since = show, 0.0
        self._seen = Seen()

    def until(self, deadline: float | None) -> tuple[Answer, Seen]:
        """Return the answer that ended the wait, with what was seen; `NOT_YET` at the deadline."""
        while True:
            # the last look comes after the deadline: what came in time must not be missed
            is_last = deadline is not None and time.monotonic() >= deadline
            self._look()
            found = answer(self._wanted, self._seen)
            if found is not Answer.NOT_YET or is_last:
                return found, self._seen
            self._show(f"waiting for {self._wanted}: {self._seen.text}")
            pause = PAUSE_SECONDS
            if deadline is not None:
                pause = min(pause, max(0.0, deadline - time.monotonic()))
            time.sleep(pause)

    def _look(self) -> None:
        site = self._site
        try:
            self._seen = look(site.store, site.migration, self._cutover)
        except StoreError:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if now - self._failing_since > STORE_SECONDS:
                raise
            return
        self._failing_since = 0.0

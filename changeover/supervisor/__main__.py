"""What `changeover up` becomes when everything is started: `python -m changeover.supervisor`.

It imports nothing that only a start needs.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path

from changeover.errors import EXIT_INTERRUPTED
from changeover.supervisor.handing_over import take_over
from changeover.supervisor.keeper import ASKED_TO_END, CHECK_SECONDS


class End:
    """Whether this process was asked to end.

    Signals only leave a note: one that raised in the midst of starting a child would lose the
    child.
    """

    def __init__(self) -> None:
        self.is_asked = False
        for number in ASKED_TO_END:
            signal.signal(number, self._ask)
        # blocked by the program before, see `handing_over`: what came meanwhile is delivered now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_END)

    def _ask(self, *_: object) -> None:
        self.is_asked = True

    def wait(self) -> bool:
        """Wait until it is time for the next check; return whether to end instead."""
        if not self.is_asked:
            time.sleep(CHECK_SECONDS)
        return self.is_asked


def main() -> int:
    """Keep everything running until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m changeover.supervisor", description=__doc__,
        epilog="Not for people: `changeover up` starts it.")
    parser.add_argument("--home", type=Path, required=True, help="Home directory.")
    parser.add_argument("--children", type=int, required=True,
                        help="Descriptor from which the processes' description is read.")
    arguments = parser.parse_args()
    keeper = take_over(arguments.home, arguments.children, _show)
    keeper.keep(End().wait)
    for number in ASKED_TO_END:
        signal.signal(number, signal.SIG_IGN)  # a second one must not leave anything running
    keeper.stop()
    sys.stderr.write("changeover: interrupted\n")
    return EXIT_INTERRUPTED


def _show(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone: the processes go on
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

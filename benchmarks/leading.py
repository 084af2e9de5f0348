"""How soon a spare leads after the leader was frozen, and how often the lead changes by itself.

    python -m benchmarks.leading [--rounds 5] [--minutes 10] [--loops 8]

Two real observers (the main machine's and a spare) beside a real PostgreSQL and one gateway node.
First the leader is stopped (SIGSTOP) and woken again, some rounds; `leads` is until the spare's
name stands in the store, `observes` until it judges. Then nothing happens for some minutes beside
busy loops, and each change of the lead is counted. Exit code 1 when the median
takeover is 3 s or more, or the lead changed by itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.fleet import database
from changeover.store import leading
from tests.integration.node.conftest import Fleet, start_fleet
from tests.integration.node.test_judges import Judge, main_judge, spare_judge
from tests.support.processes import kill, wait_for

MOST_SECONDS = 3.0
BUSY = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"


def _leader(fleet: Fleet) -> tuple[str, str]:
    found = leading.latest(fleet.store, "bench")
    return (found.name, found.token) if found is not None else ("", "")


def takeovers(fleet: Fleet, main: Judge, spare: Judge, rounds: int) -> list[tuple[float, float]]:
    """Freeze the leader; return the seconds until the spare leads, and until it observes."""
    took = []
    for number in range(rounds):
        before = spare.log.count("observing bench")
        began = time.monotonic()
        os.kill(main.process.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: _leader(fleet)[0] == "spare-1", what="the spare leads")
            leads = time.monotonic() - began
            wait_for(lambda before=before: spare.log.count("observing bench") > before,
                     what="it observes")
            took.append((leads, time.monotonic() - began))
        finally:
            os.kill(main.process.pid, signal.SIGCONT)
        main.wait_leads(times=number + 2)
        wait_for(lambda: _leader(fleet)[0] == "main", what="the main one leads again")
        wait_for(lambda number=number: spare.log.count("leads: this one waits") == number + 2,
                 what="the spare waits again")
        time.sleep(1 + 0.1 * number)  # where in its proving it is must not depend on the round
    return took


def changes(fleet: Fleet, minutes: float, loops: int) -> tuple[int, list[float]]:
    """Count changes of the lead beside busy loops; return them and the loads of the machine."""
    code = BUSY.format(seconds=minutes * 60)
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(loops)]
    known, count, loads = _leader(fleet), 0, []
    end = time.monotonic() + minutes * 60
    try:
        while time.monotonic() < end:
            time.sleep(0.5)
            loads.append(os.getloadavg()[0])
            now = _leader(fleet)
            count, known = count + int(now != known), now
    finally:
        for process in busy:
            kill(process)
    return count, loads


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--loops", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        url = stack.enter_context(database(Path(folder)))
        fleet = start_fleet(stack, Path(folder), url)
        fleet.start("edge-1")
        judge = main_judge(fleet)
        judge.wait_leads()
        spare = spare_judge(fleet)
        spare.wait_waits()
        took = takeovers(fleet, judge, spare, asked.rounds)
        leads, observes = [each[0] for each in took], [each[1] for each in took]
        print(f"load of the machine {os.getloadavg()[0]:.1f}")
        for name, values in (("leads", leads), ("observes", observes)):
            print(f"{name:10} median {statistics.median(values):.2f} s   "
                  f"fastest {min(values):.2f} s   worst {max(values):.2f} s   of {len(values)}",
                  flush=True)
        count, loads = changes(fleet, asked.minutes, asked.loops)
        print(f"{count} changes of the lead in {asked.minutes:g} minutes with {asked.loops} busy "
              f"loops, load of the machine {min(loads):.1f} to {max(loads):.1f}")
    return int(statistics.median(leads) >= MOST_SECONDS or count > 0)


if __name__ == "__main__":
    sys.exit(main())

"""What users and decisions lose while PostgreSQL is away: nothing, and how long everything takes.

    python -m benchmarks.database_stopped [--seconds 60]

A main machine with its observer and three real nodes beside a real PostgreSQL, half of the users on
the candidate, requests to all four gateways. The server crashes (`pg_ctl stop -m immediate`) while
somebody pauses and resumes the cutover. Halfway through, the candidate becomes slow, so that a
trigger holds: every gateway sends its users back by itself. Then the server is started again. Exit
code 1 when a request failed, a decision was lost or doubled, something was told twice or not at
all, or the audit's chain is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from changeover.store import audit, firings, rollbacks
from tests.support.database_stopped import NODES, Stopped, begin
from tests.support.postgres import own_postgres


def wrong(story: Stopped) -> list[str]:
    """Return what was lost, doubled or failed."""
    store, people = story.fleet.store, story.people
    found = [f"{name}: {each.failed}" for name, each in story.users.items() if each.failed]
    if people.stored() not in (people.given, [*people.given, people.refused]):
        found.append("decisions were lost or doubled")
    kinds = Counter(event.kind for event in audit.events(store, "bench"))
    once = {"break_glass.used": 1, "gateway_node.rolled_back": len(NODES), "rollback.started": 1,
            "trigger.fired": 1}
    found += [f"{kind}: {kinds[kind]} times" for kind, times in once.items()
              if kinds[kind] != times]
    if len(firings.all_of(store, "bench")) != 1 or len(rollbacks.all_of(store, "bench")) != 1:
        found.append("not one firing and one rollback")
    return [*found, *audit.verify(store, "bench")]


def main() -> int:
    """Stop the database, print what was seen, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="How long it is away.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        before = os.getloadavg()[0]
        story = begin(stack, Path(folder), stack.enter_context(own_postgres()))
        story.crash()
        story.wait(asked.seconds / 2)
        story.fail()
        story.wait(asked.seconds)
        story.come_back()
        problems = wrong(story)
        print(f"{os.cpu_count()} cores, load {before:.1f} at the start, "
              f"{os.getloadavg()[0]:.1f} at the end")
        for name, each in story.users.items():
            print(f"{name:8} {each.answers.total():6} requests, {sum(each.failed.values())} failed")
        print(f"{len(story.people.given)} decisions were taken until the crash, "
              f"{len(story.people.stored())} are stored")
        for what, seconds in story.seconds.items():
            print(f"{what:50} {seconds:7.2f} s")
        print("\n".join(problems) or "nothing lost, nothing doubled, the audit's chain is intact")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())

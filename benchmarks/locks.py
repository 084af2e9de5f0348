"""Who holds the store's write lock in the demo, for how long, and how long others wait for it.

    python -m benchmarks.locks --busy 4 --fault errors@50
    python -m benchmarks.locks --read turns.jsonl

The demo runs beside so many processes that do nothing but keep a core busy. For any other command,
set CHANGEOVER_STORE_TURNS=FILE and read the file afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from changeover.store.turns import TURNS_VARIABLE

STEPS = (10, 50, 100, 250, 500, 1000)
"""Milliseconds above which transactions are counted."""
SIGNS = ("stayed locked", "break glass", "database is locked")
SERVICES = ("observer", "shadow", "console", "worker")


def main() -> int:
    """Run the demo, or read a file, and show the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=4, help="Processes that keep a core busy.")
    parser.add_argument("--fault", help="As `changeover demo --fault`.")
    parser.add_argument("--read", type=Path, help="Show what an earlier run wrote.")
    given = parser.parse_args()
    if given.read:
        show(read(given.read))
        return 0
    with tempfile.TemporaryDirectory() as folder, busy(given.busy):
        code = demo(Path(folder), given.fault)
        show(read(Path(folder) / "turns.jsonl"))
        sys.stdout.write(f"exit code of the demo: {code}\n")
        for name in SERVICES:
            text = (Path(folder) / "home" / "logs" / f"{name}.log").read_text()
            found = {sign: text.count(sign) for sign in SIGNS if sign in text}
            sys.stdout.write(f"{name}'s log: {found or 'nothing of locks'}\n")
    return code


def demo(folder: Path, fault: str | None) -> int:
    """Run the demo with every write transaction noted; return its exit code."""
    command = [sys.executable, "-m", "changeover.cli", "demo", "--approve", "--home",
               str(folder / "home"), *(["--fault", fault] if fault else [])]
    variables = {**os.environ, TURNS_VARIABLE: str(folder / "turns.jsonl")}
    return subprocess.run(command, env=variables, check=False).returncode


@contextlib.contextmanager
def busy(number: int) -> Iterator[None]:
    """Keep cores busy meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
               for _ in range(number)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def read(path: Path) -> list[dict[str, Any]]:
    """Return the transactions of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def show(found: Sequence[dict[str, Any]]) -> None:
    """Show waits and lengths, and the operations that held the lock longest."""
    refused = sum(bool(one["error"]) for one in found)
    sys.stdout.write(f"{len(found)} write transactions, {refused} refused or failed\n")
    for name, what in (("waited_ms", "waited for the lock"), ("held_ms", "held it")):
        values = sorted(one[name] for one in found)
        above = ", ".join(f"{sum(value > step for value in values)} above {step} ms"
                          for step in STEPS)
        middle = values[len(values) // 2]
        last = values[min(len(values) - 1, int(len(values) * 0.99))]
        sys.stdout.write(f"{what}: median {middle:.1f}, p99 {last:.0f}, longest {values[-1]:.0f} "
                         f"ms; {above}\n")
    by_kind: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in found:
        by_kind[one["role"], one["operation"]].append(one["held_ms"])
    for (role, operation), lengths in sorted(by_kind.items(), key=lambda kind: -sum(kind[1]))[:12]:
        sys.stdout.write(f"  {role:32} {operation:28} {len(lengths):5} times, longest "
                         f"{max(lengths):6.0f} ms, {sum(lengths):7.0f} ms together\n")


if __name__ == "__main__":
    sys.exit(main())

"""What an earlier supervisor left running when it was killed: taken over, or ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from changeover.domain.routing import System
from changeover.site.home import Home
from changeover.supervisor.child import Child, end_flow_runs
from changeover.supervisor.keeper import Show


def adopt(home: Home, children: Mapping[str, Child]) -> set[str]:
    """Take over the processes that run still; return their names. Nothing is written.

    Args:
        home: The home directory.
        children: Every process that is to run, by its name.
    """
    known = home.settings().get("processes") or {}
    adopted = set()
    for name, child in children.items():
        entry = known.get(name)
        is_found = entry is not None and child.adopt(
            entry["pid"], entry["created"], entry.get("digest", ""))
        if is_found or (child.outlives and child.adopt_lost()):
            adopted.add(name)
    return adopted


def end_others(home: Home, children: Mapping[str, Child], show: Show) -> None:
    """End what runs still and is not to run any more, as the worker after `up --no-worker`.

    Args:
        home: The home directory.
        children: Every process that is to run, by its name.
        show: Shows one line to the person who started it.
    """
    for name, entry in (home.settings().get("processes") or {}).items():
        left = Child(name, [], Path())
        if name in children or not left.adopt(entry["pid"], entry["created"]):
            continue
        if name in set(System):
            show(f"note: {name} (process {entry['pid']}) was started here, the plan starts it no "
                 "more, and it runs on: users may need it")
            continue
        show(f"{name} of an earlier start is ended: it is not to run any more")
        end(left, home)


def end(child: Child, home: Home) -> None:
    """End a process that was taken over; a worker with the flow runs that it was starting."""
    child.end()
    if child.name == "worker":
        end_flow_runs(home.root)

"""Keeps a migration's processes running. It needs neither plan, store nor gateway for that."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import changeover
from changeover.errors import ChangeoverError, EnvironmentProblem, Refused
from changeover.site.home import Home
from changeover.supervisor.child import Child, end_flow_runs

PROJECT = Path(changeover.__file__).resolve().parents[1]
CHECK_SECONDS = 0.2
"""How often a process is looked at: what ends is started again within this time."""
ASKED_TO_END = (signal.SIGTERM, signal.SIGINT)
ENDING = ("worker", "load", "observer", "shadow", "console", "reports", "prefect-server", "envoy",
          "candidate", "baseline")
"""The order in which processes are ended: users' gateway and systems last, then all others."""
Show = Callable[[str], None]


def supervisor_of(home: Home) -> int | None:
    """Return the process that keeps a home's processes running, other than this one; None: none."""
    entry = home.settings().get("supervisor") or {}
    # only to ask whether that process lives
    other = Child("supervisor", [], Path())
    if entry and entry["pid"] != os.getpid() and other.adopt(entry["pid"], entry["created"]):
        return int(entry["pid"])
    return None


def refuse_home_of_others(home: Home, migration: str, *, is_serving: bool) -> None:
    """Refuse to serve a migration with a home that has the users of a node, or of another one.

    Args:
        home: The home directory.
        migration: Name of the migration.
        is_serving: Whether the home's gateway runs.

    Raises:
        Refused: It is such a home.
    """
    settings = home.settings()
    served, way = settings.get("migration", migration), ""
    if node := settings.get("node"):
        whose = f"belongs to gateway node {node} of {served}"
    elif is_serving and served != migration:
        whose = f"has the gateway of {served}, which serves its users still"
        way = f", or start `changeover up` with the plan of {served} and end it with Ctrl-C"
    else:
        return
    raise Refused(f"not started because this home {whose}", where=str(home.root),
                  next_step=f"Give {migration} a home of its own with --home DIR{way}")


@dataclass
class Keeper:
    """Starts again what ends or was asked for, and ends everything when it is time.

    Args:
        home: The home directory.
        children: Every process by its name, started or not.
        show: Shows one line to the person who started it.
        addresses: What `run.json` says beside the processes.
    """

    home: Home
    children: dict[str, Child]
    show: Show
    addresses: dict[str, Any]

    def keep(self, is_over: Callable[[], bool]) -> None:
        """Revive until `is_over`, which waits for `CHECK_SECONDS` before it answers.

        A failure, as of a full disk, is shown once and does not end the keeping.
        """
        shown = ""
        while not is_over():
            try:
                self.revive()
                shown = ""  # mended: should it come back, it is shown again
            except (ChangeoverError, OSError, psutil.Error) as error:
                if str(error) != shown:
                    shown = str(error)
                    self.show(shown)

    def revive(self) -> None:
        """Start again what ended and should run, or was asked for; call it a few times a second."""
        for name in self.home.pop_restarts():
            if name in self.children:
                self._restart(name)
        for child in self.children.values():
            try:
                was_revived = child.revive()
            # one that cannot be started must not keep the others from it
            except EnvironmentProblem as problem:
                self.show(str(problem))
                continue
            if was_revived:
                self.show(f"{child.name} was started again because it had ended")
                self.save()

    def _restart(self, name: str) -> None:
        try:
            self.children[name].restart_now()
        except EnvironmentProblem as problem:
            self.show(str(problem))
            return
        self.show(f"{name} was started again because a repair asked for it")
        self.save()

    def stop(self, *, spares_adopted: bool = False) -> None:
        """End everything, users' gateway last.

        Args:
            spares_adopted: What an earlier supervisor had left running goes on: users may depend
                on it, and nobody asked for its end.
        """
        spared = {name for name, child in self.children.items()
                  if spares_adopted and child.is_adopted}
        for name in (*ENDING, *(other for other in self.children if other not in ENDING)):
            child = self.children.get(name)
            if child is None or name in spared:
                continue
            child.end()
            # flow runs outlive their worker: they are processes of their own, and go on when
            # the worker of before has ended and the start failed before there was another
            if name == "worker" and (child.process is not None or not spares_adopted):
                end_flow_runs(self.home.root)
        settings = self.home.settings()
        if settings and (settings.get("supervisor") or {}).get("pid") != os.getpid():
            return  # it failed before it noted anything: what an earlier one noted stays
        known = settings.get("processes") or {}
        left = {name: entry for name, entry in known.items()
                if name in spared or name not in self.children}
        self.home.save_settings({**settings, "supervisor": None, "processes": left})

    def save(self) -> None:
        """Write addresses and process ids for everybody who works with this home."""
        processes = {}
        for name, child in self.children.items():
            if child.process and child.is_alive:
                created = child.process.create_time()
                processes[name] = {
                    "pid": child.process.pid, "created": created, "digest": child.digest}
        me = psutil.Process()
        self.home.save_settings({
            **self.addresses,
            "supervisor": {"pid": me.pid, "created": me.create_time()},
            "processes": processes,
        })

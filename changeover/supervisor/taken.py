"""Whose gateway has the address that another one needs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from changeover.errors import ChangeoverError
from changeover.machine.ports import require_free
from changeover.plan import units
from changeover.site.home import Home


def require_address(address: str, *, remedy: str) -> None:
    """Raise EnvironmentProblem when a gateway cannot listen at an address, and say who does.

    Args:
        address: As `127.0.0.1:8100`.
        remedy: How to choose another.
    """
    host, port = units.parse_address(address)
    require_free(host, port, what="the gateway", remedy=f"{remedy}: each migration needs an "
                 "address of its own", by=lambda: _holder(port))


def _holder(port: int) -> str:
    """Return who listens at a port; empty when this user may not know."""
    with contextlib.suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.pid and each.laddr[1:] == (port,):
                return _named(psutil.Process(each.pid))
    return ""


def _named(process: psutil.Process) -> str:
    """Return a process for people: a gateway by its migration, all others by their program."""
    words = process.cmdline()
    if "--config-path" in words[:-1]:
        # somebody else's Envoy may have a file in no folder, or in a home that is none
        with contextlib.suppress(ChangeoverError, IndexError):
            # HOME/gateway/FILE
            home = Home(Path(words[words.index("--config-path") + 1]).parents[1])
            settings = home.settings()
            if served := settings.get("migration"):
                node = f"node {settings['node']} " if "node" in settings else ""
                return f"gateway {node}of {served} (home {home.root})"
    return f"{process.name()} (process {process.pid})"

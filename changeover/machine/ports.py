"""Ports: whether one is free, and finding one that is."""

from __future__ import annotations

import socket
from collections.abc import Callable

from changeover.errors import EnvironmentProblem


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on the address now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(
    host: str, port: int, *, what: str, remedy: str, by: Callable[[], str] = str
) -> None:
    """Raise EnvironmentProblem when the address is taken.

    Args:
        host: Address.
        port: Port.
        what: What needs the port, for the message.
        remedy: How to choose another port.
        by: Returns who has it, where that can be told.
    """
    if not is_free(host, port):
        holder = f" by {found}" if (found := by()) else ""
        raise EnvironmentProblem(
            f"port {port} is in use{holder}, {what} needs it", where=f"{host}:{port}",
            next_step=f"End what listens there, or {remedy}",
        )

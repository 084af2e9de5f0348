"""The lists of users that a plan's segments have, as files that the gateway's script reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from changeover.gateway.files import GatewayFiles
from changeover.machine.files import write_atomically
from changeover.plan.model import Plan


def write(files: GatewayFiles, plan: Plan) -> list[Path]:
    """Write a plan's lists for Envoy, before it starts; one that is there as it must be, stays.

    Returns:
        Their files.

    Raises:
        EnvironmentProblem: One cannot be written.
    """
    found = []
    for spec in plan.routing.segments.values():
        if spec.listed is None:
            continue
        path, content = files.user_list(spec.listed.sha256), spec.users.content
        if not path.exists() or path.read_bytes() != content:
            write_atomically(path, content)
        found.append(path)
    return found


def remove_others(files: GatewayFiles, kept: Sequence[Path]) -> None:
    """Remove the lists of earlier plans, once Envoy starts without them."""
    for path in files.user_lists:
        if path not in kept:
            path.unlink(missing_ok=True)

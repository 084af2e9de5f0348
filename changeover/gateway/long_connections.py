"""Long connections that the gateway itself ended: no failure of a system, and counted.

How they are ended: `gateway.envoy.streams`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from changeover.domain.routing import System
from changeover.errors import Unreachable
from changeover.gateway.accesslog import Entry, parse_line, whole_lines
from changeover.gateway.envoy.streams import Hop
from changeover.gateway.publish import Gateway

_CUT = frozenset({"UC", "UPE", "UR"})
"""Envoy's flags for an answer whose connection went away."""
_LATE_SECONDS = 5
"""A busy Envoy ends them somewhat later than it was told to."""


def was_ended(entry: Entry, hops: Mapping[str, Hop], grace: timedelta) -> bool:
    """Whether the gateway itself ended a long connection, because its user went back.

    Args:
        entry: A line of the access log.
        hops: What is known of the second hops.
        grace: The plan's `rollback.grace`.
    """
    group = entry.long_connection
    if group is None or not entry.flags & _CUT or entry.served_by is System.BASELINE:
        return False
    began = hops.get(group, Hop()).ended_at
    # whoever came later has the generation that goes on
    if entry.end - entry.duration_us / 1e6 > began + _LATE_SECONDS:
        return False
    return began <= entry.end <= began + grace.total_seconds() + _LATE_SECONDS


def open_now(gateway: Gateway, group: str | None = None) -> int:
    """Return how many long connections the candidate has; 0 when the gateway does not answer.

    Args:
        gateway: The gateway.
        group: Only those that are ended with this segment's; default: all.
    """
    with contextlib.suppress(Unreachable):
        found = gateway.admin.long_connections()
        return sum(found.values()) if group is None else found.get(group, 0)
    return 0


def ended_in(gateway: Gateway, epoch: int, grace: timedelta) -> int:
    """Return how many long connections the gateway itself ended, by its access log.

    Of users who returned in steps only those of the last step are counted.

    Args:
        gateway: The gateway.
        epoch: The epoch that the rollback created.
        grace: The plan's `rollback.grace`.
    """
    hops = {name: hop for name, hop in gateway.hops().items()
            if hop.generation.startswith(f"{epoch}_")}
    log = gateway.files.access_log
    return sum(_of_log(path, hops, grace) for path in (log, log.with_suffix(".log.1")))


def _of_log(path: Path, hops: Mapping[str, Hop], grace: timedelta) -> int:
    found = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for text in file:
            # nearly all lines are of other requests
            if not any(mark in text for mark in (b"_streams_", b"_calls_")):
                continue
            entries = [parse_line(line, {}) for line in whole_lines(text)]
            found += sum(entry is not None and was_ended(entry, hops, grace) for entry in entries)
    return found

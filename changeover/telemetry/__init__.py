"""Traces and logs by OpenTelemetry: off, and nothing of it imported, unless an exporter is set.

Callers use `span`, `note` and `start` of this module. What needs the packages is in `sdk`.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from changeover.telemetry.settings import Settings
from changeover.telemetry.traces import Trace

if TYPE_CHECKING:
    from changeover.telemetry.sdk import Exporting

LOG = logging.getLogger("changeover.telemetry")
_lock = threading.Lock()
_started: Exporting | None = None
_is_settled = False
_NOTHING = nullcontext()


def is_on() -> bool:
    """Whether this process sends traces."""
    return _exporting() is not None


def start(process: str) -> None:
    """Begin to send, where an exporter is set.

    Args:
        process: What this process is, as `observer`: its traces are those of `changeover-observer`.
    """
    _exporting(process)


def span(
    name: str, of: Trace | None = None, *, is_root: bool = False, begun: datetime | None = None,
    attributes: Mapping[str, str | int | float | bool] | None = None,
) -> AbstractContextManager[object]:
    """Return a context in which a part of the work is timed; nothing while telemetry is off.

    Args:
        name: What is done, without names of users or numbers.
        of: The trace that it belongs to; None: that of the span around it, or a new one.
        is_root: It is the span under which everything else of its trace stands.
        begun: When it began, if not now.
        attributes: What else is known.
    """
    exporting = _exporting()
    if exporting is None:
        return _NOTHING
    return exporting.span(name, of, is_root=is_root, begun=begun, attributes=attributes or {})


def note(**attributes: str | int | float | bool) -> None:
    """Add what is known by now to the span around the caller."""
    exporting = _exporting()
    if exporting is not None:
        exporting.note(attributes)


def problem() -> str:
    """Return why nothing is sent although an exporter is set; empty when all is well."""
    settings = Settings.of(os.environ)
    if not settings.is_wanted or settings.problem:
        return settings.problem
    try:
        importlib.import_module("changeover.telemetry.sdk")
    except ImportError:
        return ("OpenTelemetry's packages are missing, so no traces are sent: "
                "pip install 'changeover[otel]'")
    return ""


def exporting() -> Exporting | None:
    """Return what sends this process's spans; None while telemetry is off."""
    return _exporting()


def _exporting(process: str = "") -> Exporting | None:
    global _started, _is_settled
    if _is_settled:
        return _started
    with _lock:
        if not _is_settled:
            _started = _begun(process)
            _is_settled = True
    return _started


def _begun(process: str) -> Exporting | None:
    settings = Settings.of(os.environ)
    if not settings.is_wanted:
        return None
    if said := problem():
        # once for each process: what is not sent must not look like nothing that happened
        LOG.warning("%s", said)
        return None
    from changeover.telemetry.sdk import Exporting

    return Exporting(settings, process)

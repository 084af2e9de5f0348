"""Prefect's server as the supervisor sees it: its settings, and one that others run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from changeover.errors import Unreachable
from changeover.machine.environment import FRUGAL
from changeover.site.home import HOME_VARIABLE, Home
from changeover.site.prefect_api import TRIGGERS_VARIABLE, PrefectApi
from changeover.supervisor.keeper import Show

OTHERS_SECONDS = 15.0
"""A Prefect server that others run is there, or somebody has to start it."""


def environment(home: Home, api_url: str) -> dict[str, str]:
    """Return the variables that Prefect's server, worker, flows and command line need."""
    # of this very Python: `prefect` on another path may be another version
    beside = str(Path(sys.executable).parent)
    secret = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    return {
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")]),
        HOME_VARIABLE: str(home.root),
        "PREFECT_HOME": str(home.prefect_home),
        # a client whose server is busy asks again instead of failing
        "PREFECT_API_URL": api_url,
        "PREFECT_CLIENT_MAX_RETRIES": "12",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # off unless somebody wants automations: their listener can block the server's SQLite
        # for a minute
        TRIGGERS_VARIABLE: os.environ.get(TRIGGERS_VARIABLE, "false"),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE":
            "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PYTHONUNBUFFERED": "1",
        **FRUGAL,
        **({"PREFECT_API_AUTH_STRING": secret} if secret else {}),
    }


def await_others(api: PrefectApi, show: Show, seconds: float = OTHERS_SECONDS) -> None:
    """Wait for a Prefect server that others run; show why it is waited for.

    Args:
        api: Its API.
        show: Shows one line.
        seconds: Longest wait.

    Raises:
        Unreachable: It does not answer, wants another password, or is no server of Prefect.
    """
    deadline, shown = time.monotonic() + seconds, ""
    while problem := api.problem():
        if time.monotonic() > deadline:
            raise Unreachable(
                f"Prefect's server cannot be used: {problem}", where=api.url,
                next_step="Mend it, --prefect-url or the password, and run the command again; "
                "nothing was started")
        if problem != shown:
            shown = problem
            show(f"waiting for Prefect's server at {api.url}: {problem}")
        time.sleep(0.5)
    show(f"Prefect's server at {api.url} is up")

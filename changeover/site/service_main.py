"""How every service begins: its arguments and its log, which the supervisor writes to a file."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from changeover import telemetry
from changeover.errors import StoreError
from changeover.site.site import Site
from changeover.store import plans

LOG = logging.getLogger("changeover.service")
_LINE = "%(asctime)s %(levelname)s %(message)s"
PLAN_SECONDS = 5.0
"""How often a service looks whether its plan is still in force."""


def service_parser(name: str, description: str | None, epilog: str) -> argparse.ArgumentParser:
    """Return a parser of the arguments that all services have.

    Args:
        name: The service's package, as `observer`.
        description: What the service is, for `--help`.
        epilog: What a person should know who starts it by hand.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m changeover.{name}", description=description, epilog=epilog)
    parser.add_argument("--home", type=Path, required=True, help="Home directory.")
    parser.add_argument("--migration", required=True, help="Name of the migration.")
    return parser


def end_when_amended(site: Site, digest: str = "") -> threading.Event:
    """End this process, as SIGTERM does, once its migration's plan is another one.

    The supervisor starts it again at once, with the plan that is in force then.

    Args:
        site: The migration.
        digest: Of the plan as it is stored; by default that of the site's plan.

    Returns:
        An event that is set when it ends the process.
    """
    amended = threading.Event()
    own = digest or plans.digest_of(site.plan)

    def watch() -> None:
        while True:
            time.sleep(PLAN_SECONDS)
            # a store that is busy says nothing of the plan: asked again in five seconds
            with contextlib.suppress(StoreError):
                if plans.digest(site.store, site.migration) not in ("", own):
                    # by a signal: the service ends as ever, and saves what it has
                    LOG.info("the plan was amended: this process ends and is started again")
                    amended.set()
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

    threading.Thread(target=watch, name="plan", daemon=True).start()
    return amended


def log_to_stderr(service: str) -> None:
    """Write log lines with their time to standard error, and begin to send traces.

    Args:
        service: Its name, as `observer`.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=_LINE)
    for chatty in ("httpx", "alembic"):  # a line for each request, several times a second
        logging.getLogger(chatty).setLevel(logging.WARNING)
    own = logging.getLogger().handlers[:]
    telemetry.start(service)
    if telemetry.is_on():
        from changeover.telemetry.logs import WithTrace

        for handler in own:
            handler.setFormatter(WithTrace(_LINE))

"""How every service begins: its arguments and its log, which the supervisor writes to a file."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path


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


def log_to_stderr() -> None:
    """Write log lines with their time to standard error."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")

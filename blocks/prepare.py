"""Prefect's side of a migration: `python -m blocks.prepare --home DIR --migration NAME`.

Makes the work pool, saves the blocks, and deploys what prefect.yaml says. That is what `prefect
work-pool create` and `prefect deploy --all` do, but in one process: Prefect is imported once.
`changeover up` runs it from the project's directory while Prefect's server still starts; it is safe
to run again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from prefect.cli import app
from prefect.settings import PREFECT_API_URL

from blocks.register import save_all
from blocks.store import StoreBlock
from changeover import clock
from changeover.errors import Unreachable
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.store import plans

# As long as `changeover up` waits for a process that lives (decision 0014).
SERVER_SECONDS = 240.0


def prefect(*arguments: str) -> None:
    """Run a command of Prefect's command line in this process.

    Raises:
        Unreachable: The command failed; its output says why.
    """
    # The command line reads its arguments from the process, and ends it when it is done.
    before, sys.argv = sys.argv, ["prefect", *arguments]
    try:
        app()
    except SystemExit as ending:
        if ending.code:
            raise Unreachable(f"`prefect {' '.join(arguments)}` failed") from None
    finally:
        sys.argv = before


def _await_server() -> None:
    api = PrefectApi(PREFECT_API_URL.value() or "")
    if not clock.poll_until(api.is_alive, bool, seconds=SERVER_SECONDS, pause=0.05):
        raise Unreachable(f"no answer within {SERVER_SECONDS:.0f} s", where=api.url)


def _save_blocks(home: Home, migration: str) -> None:
    store = StoreBlock(home=str(home.root)).get_client()
    asyncio.run(save_all(plans.load(store, migration), home))


def _make(steps: Sequence[tuple[str, Callable[[], None]]]) -> int:
    """Run the steps in order; the last line says which one failed. Return the exit code."""
    for what, make in steps:
        try:
            make()
        except Exception as error:  # noqa: BLE001  whatever it is, the last line says what failed
            if not isinstance(error, Unreachable):
                traceback.print_exc()
            sys.stdout.write(f"{what} could not be made: {error}\n")
            return 1
    return 0


def main() -> int:
    """Read the arguments and make everything; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="Home directory.")
    parser.add_argument("--migration", required=True, help="Name of the migration.")
    parser.add_argument("--pool", required=True, help="Name of the work pool.")
    given = parser.parse_args()
    pool = partial(
        prefect, "work-pool", "create", given.pool, "--type", "process", "--overwrite")
    # Deployments come last: a scheduled run may begin at once, and needs pool and blocks.
    return _make([
        ("the connection to Prefect", _await_server),
        ("the work pool", pool),
        ("the blocks", partial(_save_blocks, Home(given.home), given.migration)),
        ("the deployments", partial(prefect, "--no-prompt", "deploy", "--all")),
    ])


if __name__ == "__main__":
    sys.exit(main())

"""Prefect's side of a migration: `python -m blocks.prepare --home DIR --migration NAME`.

Makes the work pool, saves the blocks, and deploys what prefect.yaml says. That is what `prefect
work-pool create` and `prefect deploy --all` do, but in one process: Prefect is imported once.
`changeover up` runs it from the project's directory while Prefect's server still starts; it is safe
to run again. `changeover deploy` runs it with `--elsewhere`: deployments for any machine's workers.
Those that it made stay in their pool when `changeover up` comes again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from prefect.cli import app
from prefect.settings import PREFECT_API_URL

from blocks.deployments import FILE, for_pool
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


def _save_blocks(home: Home | None, migration: str) -> None:
    store = StoreBlock(home=str(home.root) if home else "").get_client()
    asyncio.run(save_all(plans.load(store, migration), home))


def _make_pool(name: str, kind: str, *, is_ours: bool) -> None:
    """Make a work pool; one that is there and not of `changeover up` stays as it is."""
    if is_ours:
        prefect("work-pool", "create", name, "--type", kind, "--overwrite")
    elif not PrefectApi(PREFECT_API_URL.value() or "").has_pool(name):
        prefect("work-pool", "create", name, "--type", kind)


def _deploy_elsewhere(pool: str, variables: dict[str, Any]) -> None:
    """Deploy every flow into a pool, for workers of any machine."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_text(yaml.safe_dump(for_pool(pool, variables)))
        prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(path))


def _deploy_here(pool: str) -> None:
    """Deploy every flow for `changeover up`, unless `changeover deploy` put them elsewhere."""
    api = PrefectApi(PREFECT_API_URL.value() or "")
    other = api.pool()
    if other != pool and api.has_pool(other):
        _deploy_elsewhere(other, api.job_variables())
        sys.stdout.write(f"flows stay in the work pool {other}, where `changeover deploy` put "
                         "them: its workers run them\n")
        return
    prefect("--no-prompt", "deploy", "--all")


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
    parser.add_argument("--home", type=Path, help="Home of `changeover up`; none: elsewhere.")
    parser.add_argument("--migration", required=True, help="Name of the migration.")
    parser.add_argument("--pool", required=True, help="Name of the work pool.")
    parser.add_argument("--pool-type", default="process", help="Of a pool that is not there.")
    parser.add_argument("--elsewhere", action="store_true", help="For workers of any machine.")
    parser.add_argument("--job-variables", default="{}", help="JSON, for every deployment.")
    given = parser.parse_args()
    home = Home(given.home) if given.home else None
    deploy = partial(_deploy_here, given.pool)
    if given.elsewhere:
        deploy = partial(_deploy_elsewhere, given.pool, json.loads(given.job_variables))
    # Deployments come last: a scheduled run may begin at once, and needs pool and blocks.
    return _make([
        ("the connection to Prefect", _await_server),
        ("the work pool", partial(
            _make_pool, given.pool, given.pool_type, is_ours=not given.elsewhere)),
        ("the blocks", partial(_save_blocks, home, given.migration)),
        ("the deployments", deploy),
    ])


if __name__ == "__main__":
    sys.exit(main())

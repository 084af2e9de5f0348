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
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml
from prefect.cli import app
from prefect.settings import PREFECT_API_URL

from blocks.deployments import FILE, for_here, for_pool, owned
from blocks.register import save_all
from blocks.store import StoreBlock
from changeover import clock
from changeover.domain.prefect_owner import own_name, owner_in
from changeover.errors import Unreachable
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.store import identity, known_runs, plans
from changeover.store.engine import Store

USUAL = "cutover/main"
TELLING = ("cutover", "rollback", "health-check")
"""Flows of which every database that uses a server has runs."""
_WAY_OUT = "where it is yours, or its database is gone, --take-over makes the flows this one's"
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


@dataclass
class _Asked:
    """What is to be made, for which migration of which database."""

    home: Home | None
    migration: str
    pool: str
    pool_type: str
    is_elsewhere: bool
    variables: dict[str, Any]
    is_own_server: bool
    takes_over: bool

    @cached_property
    def store(self) -> Store:
        return StoreBlock(home=str(self.home.root) if self.home else "").get_client()

    @cached_property
    def owner(self) -> str:
        return identity.of(self.store)

    @cached_property
    def api(self) -> PrefectApi:
        return PrefectApi(PREFECT_API_URL.value() or "", owner=lambda: self.owner)

    @cached_property
    def usual(self) -> dict[str, Any] | None:
        """What the server has under the usual name, whoever's it is."""
        return self.api.named(USUAL)

    @cached_property
    def beside(self) -> dict[str, Any] | None:
        """What this database has beside another one's."""
        return self.api.named(own_name(USUAL, self.owner))

    @cached_property
    def is_beside(self) -> bool:
        """Whether the server's usual names are those of another database."""
        # in the server of a home's own, everything with the usual names is the home's
        if self.usual is None or self.is_own_server or self.takes_over:
            return False
        if named := owner_in(self.usual.get("tags") or ()):
            return named != self.owner
        # from before there were tags: ours if one of its runs is
        return self.beside is not None or not any(
            known_runs.known(self.store, self.api.begun(flow)) for flow in TELLING)


def _refuse_taken(asked: _Asked) -> None:
    """Leave alone what another database has on the server.

    Raises:
        Unreachable: Its flows, blocks or workers would be taken.
    """
    if asked.takes_over and asked.beside is not None:
        raise Unreachable(
            f"nothing is taken over because this database has flows of its own here: first delete "
            f"the deployments main-{asked.owner} in Prefect")
    if not asked.is_beside:
        return
    theirs = (asked.usual or {}).get("work_pool_name")
    if asked.is_elsewhere:
        if asked.pool == theirs:
            raise Unreachable(
                f"the workers of the work pool {theirs} are another database's: name another one "
                f"with --pool, or {_WAY_OUT}")
        sys.stdout.write(
            f"note: {USUAL} on this server is another database's, so flows are called "
            f"{own_name(USUAL, asked.owner)} and so on; {_WAY_OUT}\n")
        return
    has_worker = asked.home is None or asked.home.has_worker
    if asked.beside is None or (has_worker and asked.pool == theirs):
        raise Unreachable(
            "the flows on this Prefect server are of another database: use a server of its own "
            "(without --prefect-url), or `changeover deploy --pool NAME`, workers of that pool and "
            f"`changeover up --no-worker`; {_WAY_OUT}")
    own = asked.beside.get("work_pool_name")
    if own in (None, theirs) or not asked.api.has_pool(own):
        raise Unreachable(
            "the work pool of this database's flows was deleted, and the workers here are another "
            "database's: make it again with `changeover deploy --pool NAME`")


def _save_blocks(asked: _Asked) -> None:
    # beside another database's there are none: its workers know the store by their environment
    if not asked.is_beside:
        asyncio.run(save_all(
            plans.load(asked.store, asked.migration), asked.home, asked.owner,
            takes_over=asked.takes_over))


def _make_pool(asked: _Asked) -> None:
    """Make a work pool; one that is there and not of `changeover up` stays as it is."""
    is_ours = not asked.is_elsewhere and not asked.is_beside
    if is_ours:
        prefect("work-pool", "create", asked.pool, "--type", asked.pool_type, "--overwrite")
    elif not asked.api.has_pool(asked.pool):
        prefect("work-pool", "create", asked.pool, "--type", asked.pool_type)


def _deploy(asked: _Asked) -> None:
    """Deploy every flow, for `changeover up` or for workers of any machine.

    Those that `changeover deploy` put elsewhere stay there when `changeover up` comes again.
    """
    if asked.is_elsewhere:
        _deploy_all(asked, for_pool(asked.pool, asked.variables))
        return
    other = asked.api.pool()
    if other != asked.pool and asked.api.has_pool(other):
        _deploy_all(asked, for_pool(other, asked.api.job_variables()))
        sys.stdout.write(f"flows stay in the work pool {other}, where `changeover deploy` put "
                         "them: its workers run them\n")
        return
    _deploy_all(asked, for_here())


def _deploy_all(asked: _Asked, document: dict[str, Any]) -> None:
    made = owned(document, asked.owner, is_beside=asked.is_beside)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_text(yaml.safe_dump(made))
        prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(path))


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
    parser.add_argument("--own-server", action="store_true", help="The server is the home's own.")
    parser.add_argument("--take-over", action="store_true", help="Also what others have there.")
    parser.add_argument("--job-variables", default="{}", help="JSON, for every deployment.")
    given = parser.parse_args()
    asked = _Asked(
        Home(given.home) if given.home else None, given.migration, given.pool, given.pool_type,
        given.elsewhere, json.loads(given.job_variables), given.own_server, given.take_over)
    # Deployments come last: a scheduled run may begin at once, and needs pool and blocks.
    return _make([
        ("the connection to Prefect", _await_server),
        ("the flows", partial(_refuse_taken, asked)),
        ("the work pool", partial(_make_pool, asked)),
        ("the blocks", partial(_save_blocks, asked)),
        ("the deployments", partial(_deploy, asked)),
    ])


if __name__ == "__main__":
    sys.exit(main())

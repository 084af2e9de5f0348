"""PostgreSQL: `pg_dump` of one snapshot, and `pg_restore` into a database that is ours.

Passwords reach the programs by their environment, never by a command line, and no message contains
one. The rows that a restored copy must have are counted in the snapshot that is dumped.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from changeover.backup import programs
from changeover.backup.sqlite import compared
from changeover.errors import ChangeoverError, EnvironmentProblem, InvalidInput, Unreachable

if TYPE_CHECKING:
    import psycopg

_BLOCK = 1 << 18
_CONNECT_SECONDS = 10
# Ordinary tables with rows of their own; those of extensions are made again by the extension.
_TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
order by 1, 2"""
_LIMITS = ("idle_in_transaction_session_timeout", "idle_session_timeout", "lock_timeout",
           "statement_timeout", "transaction_timeout")
_OURS = "pg_class c join pg_namespace n on n.oid = c.relnamespace where " \
    "n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'"
_NOT_RESTORED = {
    "tables belong to others than the user of this backup; restored, they belong to who restores":
        f"select count(*) from {_OURS} and c.relkind in ('r', 'p') "  # noqa: S608  no input
        "and pg_get_userbyid(c.relowner) <> current_user",
    "tables have grants, which are not restored":
        f"select count(*) from {_OURS} and c.relkind in ('r', 'p', 'v', 'm') "  # noqa: S608
        "and c.relacl is not null",
    "foreign tables, whose rows are elsewhere and not in it":
        f"select count(*) from {_OURS} and c.relkind = 'f'",  # noqa: S608
    "publications, which are not restored": "select count(*) from pg_publication",
    "tables have row level security: a user whom it hides rows from cannot back them up":
        f"select count(*) from {_OURS} and c.relrowsecurity",  # noqa: S608
}
_Report = Callable[[int, int], None]


def save(url: str, target: Path, report: _Report) -> tuple[dict[str, Any], list[str]]:
    """Dump a database in custom format; return its facts (rows, versions, encoding) and notes.

    1. A transaction exports its snapshot and stays open. 2. `pg_dump` dumps that snapshot. 3. The
    transaction counts its rows. So writers go on, and both see the same moment.

    Args:
        url: The database.
        target: The dump.
        report: Called with tables done and tables in total.

    Raises:
        Unreachable: The server does not let us in.
        EnvironmentProblem: There is no `pg_dump`, or it is too old.
        ChangeoverError: It failed.
    """
    with connected(url) as connection:
        version = connection.info.server_version // 10_000
        program = programs.find("pg_dump", version)
        connection.execute("begin isolation level repeatable read read only")
        snapshot = _one(connection, "select pg_export_snapshot()")
        tables = _tables(connection)
        command = [
            str(program), "--format=custom",
            "--no-password",  # it would wait for somebody to type one
            "--verbose",  # it names each table: that is the progress
            f"--snapshot={snapshot}", f"--dbname={bare(url)}",
        ]
        sha = _dump(command, url, target, lambda done: report(done, len(tables)))
        notes = []
        for what, query in _NOT_RESTORED.items():
            if number := _one(connection, query):
                notes.append(f"{number} {what}")
        facts = {
            "rows": _counted(connection, tables), "server": version, "sha256": sha,
            "encoding": _one(connection, "show server_encoding"), "address": bare(url),
        }
        return facts, notes


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return schema and name of each table whose rows are in a dump."""
    return [(str(schema), str(name)) for schema, name in connection.execute(_TABLES)]


def _without_limits(connection: psycopg.Connection[Any]) -> None:
    """Lift the limits that a role or database may set: sessions here wait for pg_dump's end.

    One of them would end the transaction that holds the snapshot, and the dump with it. Servers
    know different ones, so those that there are are asked for.
    """
    query = "select set_config(name, '0', false) from pg_settings where name = any(%s)"
    connection.execute(query, [list(_LIMITS)])


def _dump(command: list[str], url: str, target: Path, report: Callable[[int], None]) -> str:
    """Run `pg_dump` and write what it says; it ends with us, because its pipe breaks."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(url)) as process:
        assert process.stdout and process.stderr  # noqa: S101  both are pipes
        output: list[str] = []
        # Beside it: a program whose messages nobody reads stops when the pipe is full.
        reader = threading.Thread(target=_listen, args=(process.stderr, output, report))
        reader.start()
        digest = hashlib.sha256()
        try:
            with target.open("wb") as file:
                while block := process.stdout.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
        except OSError:
            # The disk is full. Without this we would wait for a program that waits for us.
            process.kill()
            raise
        finally:
            reader.join()
    if process.returncode:
        why = without_secrets(_last(output), url)
        raise ChangeoverError(f"pg_dump failed: {why}", where=bare(url))
    return digest.hexdigest()


def _listen(stream: IO[bytes], output: list[str], report: Callable[[int], None]) -> None:
    done = 0
    for raw in stream:
        line = raw.decode("utf-8", "replace").strip()
        if "dumping contents of table" in line:
            done += 1
            report(done)
        else:
            # The last lines say why it failed; `--verbose` writes thousands before them.
            output[:] = [*output[-20:], line]


def _last(lines: list[str]) -> str:
    errors = [line for line in lines if "error" in line or "fatal" in line.lower()]
    found = errors or lines or ["it said nothing"]
    return " ".join(found[-1].split())[:400]


def _counted(connection: psycopg.Connection[Any], tables: list[tuple[str, str]]) -> dict[str, int]:
    from psycopg import sql

    counts = {}
    for schema, name in tables:
        table = sql.Identifier(schema, name)
        query = sql.SQL("select count(*) from {}").format(table)
        counts[f"{schema}.{name}"] = int(_one(connection, query))
    return counts


def _one(connection: psycopg.Connection[Any], query: Any) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def restore(dump: Path, url: str, facts: dict[str, Any]) -> None:
    """Restore a dump into an empty database, whole or not at all.

    Owners and grants are the restoring user's.

    Raises:
        InvalidInput: The database has tables.
        ChangeoverError: `pg_restore` failed; the database is as empty as it was.
    """
    with connected(url) as connection:
        if tables := _tables(connection):
            raise InvalidInput(f"the database has {len(tables)} tables already", where=bare(url),
                               next_step="Give an empty one: nothing is overwritten")
        version = connection.info.server_version // 10_000
    # It must know both: the server it writes to, and the version that made the dump.
    program = programs.find("pg_restore", max(version, int(facts["server"])))
    command = [
        str(program), "--no-password",
        # The users of the old server need not exist on this one.
        "--no-owner", "--no-privileges",
        # A restored copy must not begin to replicate with the systems of the original.
        "--no-publications", "--no-subscriptions",
        "--exit-on-error", "--single-transaction", f"--dbname={bare(url)}", str(dump),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                          env=environment(url), check=False)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        why = without_secrets(_last(lines), url)
        raise ChangeoverError(f"pg_restore failed: {why}", where=bare(url))


def problems(url: str, facts: dict[str, Any]) -> list[str]:
    """Return in which tables of a restored database the rows are not those of the backup."""
    with connected(url) as connection:
        return compared(_counted(connection, _tables(connection)), facts["rows"])


@contextmanager
def scratch(url: str, name: str, encoding: str) -> Iterator[str]:
    """Make an empty database beside another one, and drop it afterwards.

    One of the same name, left behind by a kill, is dropped first.

    Args:
        url: A database of the server.
        name: Of the new one.
        encoding: As the server spells it.

    Yields:
        Its URL.

    Raises:
        ChangeoverError: The user may not make databases.
    """
    import psycopg
    from psycopg import sql

    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
    with connected(url) as server:
        # Locale C goes with every encoding; a server's own need not go with the original's.
        text = "create database {} template template0 encoding {} lc_collate 'C' lc_ctype 'C' "
        if server.info.server_version >= 150_000:
            # C is no locale of ICU, which may be the default.
            text += "locale_provider libc"
        make = sql.SQL(text).format(sql.Identifier(name), sql.Literal(encoding))
        try:
            server.execute(drop)
            server.execute(make)
        except psycopg.Error as error:
            raise ChangeoverError(
                f"no scratch database can be made: {_first_line(error, url)}", where=bare(url),
                next_step="Give the user CREATEDB, or name a server where it may with --scratch",
            ) from None
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            server.execute(drop)


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection in autocommit mode, without limits of time.

    Raises:
        EnvironmentProblem: The driver is not installed.
        Unreachable: The server does not let us in, or went away.
        ChangeoverError: It refused something, as a table that the user may not read.
    """
    try:
        import psycopg
    except ImportError:
        raise EnvironmentProblem(
            "PostgreSQL's driver is not installed",
            next_step="Run `pip install 'changeover[postgres]'`") from None
    address, password = _parted(url)
    try:
        with psycopg.connect(address, password=password, autocommit=True,
                             connect_timeout=_CONNECT_SECONDS) as connection:
            _without_limits(connection)
            yield connection
    # `from None`: the driver's own error may show the password, and a traceback would show it.
    except psycopg.OperationalError as error:
        raise Unreachable(
            f"the database cannot be used: {_first_line(error, url)}", where=bare(url),
            next_step="Check that the server runs, its address, user and password") from None
    except psycopg.Error as error:
        what = f"the database refused: {_first_line(error, url)}"
        raise ChangeoverError(what, where=bare(url)) from None


def bare(url: str) -> str:
    """Return the address without its password, fit for a command line and a message."""
    return _parted(url)[0]


def environment(url: str) -> dict[str, str]:
    """Return the environment for PostgreSQL's programs: the password is there and nowhere else."""
    password = _parted(url)[1]
    # LC_ALL: messages are read here, and must be in English.
    own = {"LC_ALL": "C", "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS)}
    if password:
        own["PGPASSWORD"] = password
    return {**os.environ, **own}


def _parted(url: str) -> tuple[str, str | None]:
    try:
        found = make_url(url)
    # ValueError: a password with `/` is taken for a port
    except (SQLAlchemyError, ValueError):
        raise InvalidInput("this is not a database URL", where="the database's address") from None
    # `?password=` is a form that PostgreSQL knows as well, and `sslpassword` is one, too.
    query = {key: value for key, value in found.query.items() if "password" not in key}
    password = found.password or found.query.get("password")
    address = URL.create("postgresql", found.username, None, found.host, found.port,
                         found.database, query)
    return address.render_as_string(), str(password) if password else None


def without_secrets(text: str, url: str) -> str:
    """Return a program's message without the password, should it be in it."""
    password = _parted(url)[1]
    return text.replace(password, "***") if password else text


def _first_line(error: Exception, url: str) -> str:
    return without_secrets(" ".join(str(error).split())[:300], url)

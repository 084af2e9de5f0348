"""Backups of a real PostgreSQL: one snapshot, scratch databases, secrets, versions."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from changeover import clock
from changeover.backup import postgres, programs
from changeover.backup.check import verify
from changeover.backup.items import DatabaseItem
from changeover.backup.make import backups, make_backup
from changeover.backup.manifest import Backup
from changeover.backup.restore import restore
from changeover.errors import ChangeoverError, EnvironmentProblem, InvalidInput, Unreachable
from tests.integration.backup.conftest import databases, run
from tests.support.processes import ROOT, wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.integration]
SECRET = "s3cr3t-pa55"
ROWS = {'app.Or"ders': 1000, "public.part_1": 50}


def make(url: str, tmp_path: Path) -> Backup:
    return make_backup([DatabaseItem("shop", url)], tmp_path / "b", name="one", now=clock.now())


def rows(url: str, query: str) -> int:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = int(connection.execute(text(query)).scalar_one())
    engine.dispose()
    return found


def test_dump_is_verified_in_a_scratch_database_that_is_dropped(
    database: str, tmp_path: Path
) -> None:
    """It was restored once before anyone relies on it, and leaves no trace on the server."""
    made = make(database, tmp_path)
    checked = verify(made.path, servers={"shop": database})
    assert checked.is_good and "restored: 1050 rows in 2 tables" in checked.items[0].detail
    assert made.items[0].facts["rows"] == ROWS and databases(database) == []


def test_dump_comes_back_into_an_empty_database(database: str, tmp_path: Path) -> None:
    """The same rows; a database that has tables is not touched."""
    made = make(database, tmp_path)
    run(database, "create database restored_here")
    to = make_url(database).set(database="restored_here").render_as_string(hide_password=False)
    try:
        assert "1050 rows" in restore(made.path, "shop", to)
        assert rows(to, "select count(*) from seen") == 50
        with pytest.raises(InvalidInput, match="has 2 tables already"):
            restore(made.path, "shop", to)
    finally:
        run(database, "drop database restored_here with (force)")


def test_rows_are_counted_in_the_snapshot_that_is_dumped(database: str, tmp_path: Path) -> None:
    """Writers go on all the time, and the counts are those of the dump."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            run(database, 'insert into app."Or""ders" (n) '
                "select 'new' from generate_series(1, 500)")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for(lambda: rows(database, 'select count(*) from app."Or""ders"') > 5000)
        made = make(database, tmp_path)
    finally:
        stop.set()
        thread.join()
    assert verify(made.path, servers={"shop": database}).is_good
    saved = made.items[0].facts["rows"]['app.Or"ders']
    assert 5000 < saved < rows(database, 'select count(*) from app."Or""ders"')


def test_wrong_byte_in_a_dump_names_the_item(database: str, tmp_path: Path) -> None:
    """It is seen by its checksum, before anything is restored."""
    made = make(database, tmp_path)
    file = made.path / "shop.dump"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found = verify(made.path, servers={"shop": database}).items[0]
    assert not found.is_good and "checksum differs" in found.detail


@pytest.fixture
def locked(database: str) -> str:
    """The database by a user who needs a password."""
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        hba = Path(str(connection.execute(text("show hba_file")).scalar_one()))
    engine.dispose()
    line = "local all locked scram-sha-256\nhost all locked all scram-sha-256\n"
    if line not in hba.read_text():
        hba.write_text(line + hba.read_text())
        run(database, "select pg_reload_conf()", f"create role locked login password '{SECRET}'")
    run(database, "grant pg_read_all_data to locked")
    return make_url(database).set(username="locked", password=SECRET).render_as_string(
        hide_password=False)


def test_password_reaches_pg_dump_and_is_stored_nowhere(locked: str, tmp_path: Path) -> None:
    """The dump works, and no file of the backup holds the password."""
    made = make(locked, tmp_path)
    assert made.items[0].facts["rows"] == ROWS
    assert all(SECRET.encode() not in path.read_bytes() for path in made.path.iterdir())


def test_command_line_of_pg_dump_has_no_password(locked: str, tmp_path: Path) -> None:
    """Everyone on a machine can read command lines."""
    assert SECRET not in postgres.bare(locked) and "locked" in postgres.bare(locked)
    with_query = "postgresql://me@h/db?password=s3cr3t-pa55&sslpassword=s3cr3t-pa55&host=/run"
    assert SECRET not in postgres.bare(with_query) and "host=" in postgres.bare(with_query)
    assert postgres.environment(with_query)["PGPASSWORD"] == SECRET


def test_wrong_password_is_one_message_without_it(locked: str, tmp_path: Path) -> None:
    """Neither the right nor the wrong one is told."""
    wrong = locked.replace(SECRET, "wr0ng-pa55")
    with pytest.raises(Unreachable, match="password authentication failed") as caught:
        make(wrong, tmp_path)
    assert "pa55" not in str(caught.value) and backups(tmp_path / "b") == []
    assert "pa55" not in repr(DatabaseItem("shop", wrong))


def test_user_who_may_make_no_database_is_told_what_to_do(locked: str, tmp_path: Path) -> None:
    """Not verified is not good, and the message names both ways out."""
    made = make(locked, tmp_path)
    detail = verify(made.path, servers={"shop": locked}).items[0].detail
    assert "CREATEDB" in detail and "--scratch" in detail and SECRET not in detail


def test_table_that_may_not_be_read_is_one_message(locked: str, tmp_path: Path) -> None:
    """The backup fails with the server's reason and leaves nothing."""
    run(locked.replace(f"locked:{SECRET}", "postgres"), "revoke pg_read_all_data from locked")
    with pytest.raises(ChangeoverError, match="permission denied"):
        make(locked, tmp_path)
    assert not list((tmp_path / "b").glob("[!.]*"))


def test_server_that_does_not_answer_is_one_message(programs_18: None, tmp_path: Path) -> None:
    """Nothing half-done is left."""
    with pytest.raises(Unreachable, match="cannot be used") as caught:
        make(f"postgresql://me:{SECRET}@127.0.0.1:1/db", tmp_path)
    assert SECRET not in str(caught.value) and not list((tmp_path / "b").glob(".*.part"))


def test_old_pg_dump_is_named_with_its_version(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program older than the server would fail halfway or leave things out."""
    if shutil.which("pg_dump") is None or "(PostgreSQL) 18" in _version():
        pytest.skip("this machine has no older pg_dump")
    monkeypatch.delenv(programs.VARIABLE)
    with pytest.raises(EnvironmentProblem, match=r"pg_dump is too old .* 18.*postgresql-client"):
        make(database, tmp_path)


@pytest.mark.parametrize("limit", [
    "idle_in_transaction_session_timeout", "idle_session_timeout", "statement_timeout",
    "transaction_timeout"])
def test_limits_of_a_database_do_not_end_the_snapshot(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """The session that holds it waits for as long as pg_dump takes, here longer than each limit."""
    run(database, f"alter database {make_url(database).database} set {limit} = '300ms'")
    slow, found = tmp_path / "bin", programs.find("pg_dump", 18)
    slow.mkdir()
    for program in ("pg_dump", "pg_restore"):
        (slow / program).write_text(
            f'#!/bin/sh\ncase "$1" in --version) ;; *) sleep 1;; esac\n'
            f'exec "{found.parent / program}" "$@"\n')
        (slow / program).chmod(0o755)
    monkeypatch.setenv(programs.VARIABLE, str(slow))
    made = make(database, tmp_path)
    assert verify(made.path, servers={"shop": database}).is_good


def test_what_a_dump_does_not_bring_back_is_told(database: str, tmp_path: Path) -> None:
    """Owners, grants, publications: who restores knows what to do by hand."""
    run(database, "create role somebody", "alter table part owner to somebody",
        "grant select on part_1 to somebody", "create publication news for table part_1",
        "alter table part_1 enable row level security")
    try:
        made = make(database, tmp_path)
        told = verify(made.path, servers={"shop": database}).items[0]
        assert told.is_good
        for words in ("1 tables belong to others", "1 tables have grants", "1 publications",
                      "1 tables have row level security"):
            assert words in told.detail
    finally:
        run(database, "drop owned by somebody cascade", "drop role somebody")


def test_missing_pg_dump_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path))
    monkeypatch.setattr(programs, "_INSTALLED", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="Install postgresql-client-17"):
        programs.find("pg_dump", 17)


def _version() -> str:
    return subprocess.run(["pg_dump", "--version"], capture_output=True, text=True,
                          check=False).stdout


_MAKE = """
import sys
from pathlib import Path
from changeover import clock
from changeover.backup.check import verify
from changeover.backup.items import DatabaseItem
from changeover.backup.make import make_backup
items = [DatabaseItem("shop", sys.argv[1])]
made = make_backup(items, Path(sys.argv[2]), name="one", now=clock.now())
verify(made.path, servers={"shop": sys.argv[1]})
"""
_END_IN_DUMP = """
import os, signal
from types import SimpleNamespace
from changeover.backup import postgres

class Digest:
    size = 0

    def update(self, block):
        self.size += len(block)
        if self.size > 3_000_000:
            os.kill(os.getpid(), signal.SIGKILL)

postgres.hashlib = SimpleNamespace(sha256=Digest)
"""
_END_IN_RESTORE = """
import os, signal, subprocess, sys
from types import SimpleNamespace
from changeover.backup import postgres

def run(command, env, **_options):
    program = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    with postgres.connected(sys.argv[1]) as server:
        while program.poll() is None and not server.execute(
                "select from pg_stat_activity where application_name = 'pg_restore'").fetchone():
            pass
    os.kill(os.getpid(), signal.SIGKILL)

postgres.subprocess = SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL)
"""


def killed(end: str, url: str, tmp_path: Path) -> None:
    """Make and check the backup in a process that kills itself halfway."""
    done = subprocess.run([sys.executable, "-c", end + _MAKE, url, str(tmp_path / "b")], cwd=ROOT,
                          timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL


def nobody_dumps(url: str) -> bool:
    """Whether the server has no `pg_dump` any more."""
    return rows(url, "select count(*) from pg_stat_activity "
                "where application_name = 'pg_dump'") == 0


def big(url: str) -> None:
    """Have a dump and its restore take a second or more."""
    run(url, "create table big as select g id, md5(g::text) || md5((g + 1)::text) n "
        "from generate_series(1, 600000) g")


def test_full_disk_ends_the_dump_with_one_message(
    database: str, tmp_path: Path, mount: Callable[..., None]
) -> None:
    """Nothing half-done is left, and no program goes on dumping."""
    big(database)
    (tmp_path / "b").mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path / "b")
    with pytest.raises(EnvironmentProblem, match="No space left"):
        make(database, tmp_path)
    assert [path.name for path in (tmp_path / "b").iterdir()] == [".one.lock"]
    wait_for(lambda: nobody_dumps(database), what="the end of pg_dump")


def test_process_killed_in_a_dump_leaves_no_backup_and_no_pg_dump(
    database: str, tmp_path: Path
) -> None:
    """The program ends with us, because nobody reads what it says; a repeat makes the backup."""
    big(database)
    part = tmp_path / "b" / ".one.part" / "shop.dump"
    killed(_END_IN_DUMP, database, tmp_path)
    assert part.stat().st_size > 2_000_000 and backups(tmp_path / "b") == []
    wait_for(lambda: nobody_dumps(database), what="the end of pg_dump")
    assert verify(make(database, tmp_path).path, servers={"shop": database}).is_good


def test_scratch_database_left_by_a_kill_is_dropped_by_the_next_check(
    database: str, tmp_path: Path
) -> None:
    """Killed while it restores: the next check of that backup begins anew and cleans up."""
    big(database)
    made = make(database, tmp_path)
    killed(_END_IN_RESTORE, database, tmp_path)
    assert databases(database) != []
    assert verify(made.path, servers={"shop": database}).is_good and databases(database) == []

"""What a backup keeps, and what it tells of the rest: rights, links, live and foreign databases."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from changeover import clock
from changeover.backup.check import verify
from changeover.backup.items import DatabaseItem, FolderItem, Item
from changeover.backup.make import make_backup
from changeover.backup.manifest import Backup
from changeover.backup.restore import restore
from tests.support.processes import kill, wait_for

pytestmark = pytest.mark.integration


def backed_up(item: Item, tmp_path: Path) -> Backup:
    """Back one item up."""
    return make_backup([item], tmp_path / "backups", name="one", now=clock.now())


def notes(made: Backup) -> str:
    """Return what a backup says of its one item, and its check."""
    checked = verify(made.path)
    assert checked.is_good, checked
    return checked.items[0].detail


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with every kind of mode, whatever the umask."""
    before = os.umask(0o077)
    place = tmp_path / "data"
    place.mkdir()
    yield place
    os.umask(before)


MODES = {"private": 0o700, "private/key": 0o600, "shared": 0o2775, "shared/file": 0o664,
         "sticky": 0o1777, "read-only": 0o555, "read-only/file": 0o440, "tool": 0o4755,
         "none": 0o000}


def test_modes_and_owners_come_back(folder: Path, tmp_path: Path) -> None:
    """Of files, of folders, and of the folder itself; a key that one may read stays one's own."""
    for name in MODES:
        path = folder / name
        path.mkdir() if any(other.startswith(f"{name}/") for other in MODES) or name == "sticky" \
            else path.write_text(name)
    for name, mode in reversed(MODES.items()):
        os.chown(folder / name, 1234, 4321)
        (folder / name).chmod(mode)
    folder.chmod(0o750)
    made = backed_up(FolderItem("data", folder), tmp_path)
    assert notes(made) == f"unpacked: {len(made.items[0].facts['files'])} files"
    assert restore(made.path, "data", str(tmp_path / "out")) == \
        f"data is restored to {tmp_path / 'out'}"
    after = {name: (tmp_path / "out" / name).stat() for name in MODES}
    assert {name: stat.S_IMODE(facts.st_mode) for name, facts in after.items()} == MODES
    assert {(facts.st_uid, facts.st_gid) for facts in after.values()} == {(1234, 4321)}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750


def test_who_may_not_give_away_files_is_told(folder: Path, tmp_path: Path) -> None:
    """Restored by somebody else everything is theirs; the answer names it, and nothing is lost."""
    (folder / "file").write_text("x")
    (folder / "file").chmod(0o640)
    made = backed_up(FolderItem("data", folder), tmp_path)
    for path in (made.path.parent, made.path, *made.path.iterdir()):
        path.chmod(0o755)
    out = tmp_path / "theirs"
    out.mkdir()
    os.chown(out, 65534, 65534)
    for parent in (tmp_path, *tmp_path.parents):
        if "pytest" in parent.name or "popen" in parent.name or parent == tmp_path:
            parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", "import os, sys\nfrom pathlib import Path\n"
         "from changeover.backup.restore import restore\n"
         "os.setgid(65534)\nos.setuid(65534)\nprint(restore(Path(sys.argv[1]), 'data', "
         "sys.argv[2]))", made.path, out / "back"],
        capture_output=True, text=True, check=False)
    assert "file belongs to 65534:65534 instead of 0:0" in done.stdout, done.stderr
    assert (out / "back" / "file").read_text() == "x"


def test_names_of_one_file_stay_one_file(folder: Path, tmp_path: Path) -> None:
    """Hard links are restored as hard links."""
    (folder / "a").write_text("x")
    os.link(folder / "a", folder / "b")
    restore(backed_up(FolderItem("data", folder), tmp_path).path, "data", str(tmp_path / "out"))
    assert (tmp_path / "out" / "a").samefile(tmp_path / "out" / "b")


def test_times_come_back_to_the_microsecond(folder: Path, tmp_path: Path) -> None:
    """What compares times (rsync, make) sees nothing new."""
    (folder / "a").write_text("x")
    os.utime(folder / "a", ns=(10**18 + 123_456_000, 10**18 + 123_456_000))
    restore(backed_up(FolderItem("data", folder), tmp_path).path, "data", str(tmp_path / "out"))
    assert abs((tmp_path / "out" / "a").stat().st_mtime_ns - 10**18 - 123_456_000) < 1_000


def test_what_an_archive_cannot_hold_is_told(folder: Path, tmp_path: Path) -> None:
    """Extended attributes and holes: the file is there, and what is lost is named."""
    with (folder / "holes").open("wb") as file:
        file.truncate(50_000_000)
    (folder / "marked").write_text("x")
    with_attributes = True
    try:
        os.setxattr(folder / "marked", "user.origin", b"scan")
    except OSError:  # a file system without them
        with_attributes = False
    told = notes(backed_up(FolderItem("data", folder), tmp_path))
    assert "holes has holes" in told
    assert ("marked has attributes that are not in it: user.origin" in told) is with_attributes


WRITER = """
import sqlite3, sys
made = sqlite3.connect(sys.argv[1], timeout=60)
made.execute(f"PRAGMA journal_mode={sys.argv[2]}")
made.execute("PRAGMA wal_autocheckpoint=50")
made.execute("CREATE TABLE IF NOT EXISTS pairs (id integer primary key, filler text)")
print("ready", flush=True)
while True:
    with made:
        made.executemany("INSERT INTO pairs (filler) VALUES (?)", [("x" * 900,), ("y" * 900,)])
"""


@contextmanager
def writer(path: Path, mode: str) -> Iterator[None]:
    """Have a process that never rests write pairs of rows."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path, mode], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout
        process.stdout.readline()
        wait_for(lambda: path.stat().st_size > 400_000, what="some rows")
        try:
            yield
        finally:
            kill(process)


def pairs(path: Path) -> tuple[str, int]:
    """Return SQLite's own judgement of a database, and how many rows of pairs there are."""
    with closing(sqlite3.connect(path)) as found:
        return (found.execute("PRAGMA integrity_check").fetchone()[0],
                found.execute("SELECT count(*) FROM pairs").fetchone()[0])


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_live_database_in_a_folder_is_of_one_moment(
    folder: Path, tmp_path: Path, mode: str
) -> None:
    """Its files, copied one after another, would be of several; each transaction is in it whole."""
    (folder / "sub").mkdir()
    with writer(folder / "sub" / "app.db", mode):
        (folder / "sub" / "notes-wal").write_text("no log of a database")
        made = backed_up(FolderItem("data", folder), tmp_path)
    assert "sub/app.db is a SQLite database in use: a copy of one moment" in notes(made)
    restore(made.path, "data", str(tmp_path / "out"))
    out = tmp_path / "out" / "sub"
    assert sorted(path.name for path in out.iterdir()) == ["app.db", "notes-wal"]
    judgement, rows = pairs(out / "app.db")
    assert (judgement, rows % 2) == ("ok", 0)
    with closing(sqlite3.connect(out / "app.db")) as found:
        assert found.execute("PRAGMA journal_mode").fetchone()[0] == mode


def test_writer_that_never_rests_does_not_prevent_a_backup(tmp_path: Path) -> None:
    """Without WAL the lock is free for moments only; each try is short, and there are many."""
    with writer(tmp_path / "busy.db", "delete"):
        made = backed_up(DatabaseItem("busy", f"sqlite:///{tmp_path}/busy.db"), tmp_path)
    assert notes(made).startswith("restored: ")
    judgement, rows = pairs(made.path / "busy.sqlite")
    assert (judgement, rows % 2) == ("ok", 0)


def collation(made: sqlite3.Connection) -> None:
    """An index by an application's order."""
    made.create_collation("letters", lambda a, b: (a.lower() > b.lower()) - (a.lower() < b.lower()))
    made.execute("CREATE TABLE notes (id integer primary key, tag text collate letters)")
    made.execute("CREATE INDEX by_tag ON notes (tag)")


def collated_key(made: sqlite3.Connection) -> None:
    """A table that is kept in an application's order."""
    made.create_collation("letters", lambda a, b: (a > b) - (a < b))
    made.execute("CREATE TABLE notes (tag text collate letters primary key, id) WITHOUT ROWID")


def indexed_function(made: sqlite3.Connection) -> None:
    """An index on an application's function."""
    made.create_function("fold", 1, str.lower, deterministic=True)
    made.execute("CREATE TABLE notes (id integer primary key, tag text)")
    made.execute("CREATE INDEX by_tag ON notes (fold(tag))")


def generated(made: sqlite3.Connection) -> None:
    """A column that an application's function makes."""
    made.create_function("fold", 1, str.lower, deterministic=True)
    made.execute("CREATE TABLE notes (id integer primary key, tag text, "
                 "small text AS (fold(tag)) STORED)")


def checked(made: sqlite3.Connection) -> None:
    """A constraint that an application's function judges."""
    made.create_function("is_fine", 1, lambda value: 1, deterministic=True)
    made.execute("CREATE TABLE notes (id integer primary key, tag text CHECK (is_fine(tag)))")


def extension(made: sqlite3.Connection) -> None:
    """A table of an extension that is not here, as if the extension had made it."""
    made.execute("CREATE TABLE notes (id integer primary key, tag text)")
    made.execute("PRAGMA writable_schema=1")
    made.execute("INSERT INTO sqlite_master VALUES ('table', 'vectors', 'vectors', 0, "
                 "'CREATE VIRTUAL TABLE vectors USING vec0(e float[4])')")


def full_text(made: sqlite3.Connection) -> None:
    """A table of an extension that is here."""
    made.execute("CREATE VIRTUAL TABLE notes USING fts5(id, tag)")


@pytest.mark.parametrize("odd", [
    collation, collated_key, indexed_function, generated, checked, extension, full_text,
], ids=lambda odd: str(odd.__name__))
def test_databases_of_other_programs_are_backed_up_and_restored(
    tmp_path: Path, odd: Callable[[sqlite3.Connection], None]
) -> None:
    """What only their program can check is told; the copy is good and comes back all the same."""
    source = tmp_path / "notes.db"
    with closing(sqlite3.connect(source)) as made, made:
        odd(made)
        made.execute("INSERT INTO notes (id, tag) VALUES (1, 'A')")
        made.execute("PRAGMA user_version = 7")
    backup = backed_up(DatabaseItem("notes", f"sqlite:///{source}"), tmp_path)
    told = notes(backup)
    assert ("here: " in told) is (odd not in (checked, full_text, generated)), told
    said = restore(backup.path, "notes", str(tmp_path / "out.db"))
    assert "look at it" not in said
    assert (tmp_path / "out.db").stat().st_size == source.stat().st_size
    with closing(sqlite3.connect(tmp_path / "out.db")) as found:
        assert found.execute("PRAGMA user_version").fetchone()[0] == 7


def test_journal_mode_and_encoding_come_back(tmp_path: Path) -> None:
    """A program that relies on WAL finds it; texts are kept in the encoding they had."""
    source = tmp_path / "wal.db"
    with closing(sqlite3.connect(source)) as made:
        made.execute("PRAGMA encoding='UTF-16le'")
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE t (x)")
        made.commit()
    made_backup = backed_up(DatabaseItem("wal", f"sqlite:///{source}"), tmp_path)
    restore(made_backup.path, "wal", str(tmp_path / "out.db"))
    with closing(sqlite3.connect(tmp_path / "out.db")) as found:
        assert found.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert found.execute("PRAGMA encoding").fetchone()[0] == "UTF-16le"


def test_damaged_database_is_still_damaged(tmp_path: Path) -> None:
    """What is no question of collations and functions fails the check, as ever."""
    source = tmp_path / "bad.db"
    with closing(sqlite3.connect(source)) as made, made:
        made.execute("CREATE TABLE t (x text)")
        made.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
        made.execute("CREATE INDEX i ON t (x)")
    data = bytearray(source.read_bytes())
    place = data.rindex(b"x" * 500)
    data[place - 3:place] = b"\xff" * 3
    source.write_bytes(data)
    made_backup = backed_up(DatabaseItem("bad", f"sqlite:///{source}"), tmp_path)
    assert not verify(made_backup.path).is_good
    assert "check it before you use it: integrity check" in restore(
        made_backup.path, "bad", str(tmp_path / "out.db"))

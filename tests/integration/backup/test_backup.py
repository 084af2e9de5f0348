"""Backups of real SQLite databases and folders: made, checked, restored, damaged, killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.backup import folders, sqlite
from changeover.backup.check import verify
from changeover.backup.items import DatabaseItem, FolderItem, Item, Progress, TextItem
from changeover.backup.make import backups, make_backup
from changeover.backup.manifest import Backup
from changeover.backup.restore import restore
from changeover.errors import ChangeoverError, EnvironmentProblem, InvalidInput, Unreachable
from tests.integration.backup.conftest import fill
from tests.integration.cleanup.conftest import tree_of
from tests.support.killing import each_kill
from tests.support.processes import ROOT, wait_for

pytestmark = pytest.mark.integration
Make = Callable[[list[Item]], Backup]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a backup called `one`."""
    return lambda items: make_backup(items, tmp_path / "backups", name="one", now=clock.now())


def bad(backup: Backup) -> dict[str, str]:
    """Return the items that are not good and why."""
    return {item.name: item.detail for item in verify(backup.path).items if not item.is_good}


def test_backup_is_good_and_comes_back_as_it_was(
    make: Make, items: list[Item], tmp_path: Path
) -> None:
    """Everything is restored where a person wants it, with the same contents."""
    made = make(items)
    assert bad(made) == {}
    for name in ("orders", "files", "plan"):
        restore(made.path, name, str(tmp_path / "back" / name))
    assert tree_of(tmp_path / "back" / "files") == tree_of(tmp_path / "folder")
    assert (tmp_path / "back" / "plan").read_text() == "über"
    with closing(sqlite3.connect(tmp_path / "back" / "orders")) as connection:
        assert connection.execute('SELECT count(*) FROM "or""ders"').fetchone() == (300,)


def test_finished_backup_of_the_same_name_is_returned(make: Make, items: list[Item]) -> None:
    """A step that is repeated after a kill finds what it did."""
    first = make(items)
    assert make([]) == first and backups(first.path.parent) == [first]


def test_backup_is_readable_by_its_owner_only(make: Make, items: list[Item]) -> None:
    """It holds whatever the databases hold."""
    made = make(items)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in made.path.iterdir()}
    assert modes == {0o600} and stat.S_IMODE(made.path.stat().st_mode) == 0o700


def test_checksums_are_those_of_sha256sum(make: Make, items: list[Item]) -> None:
    """A person can check a backup without us."""
    made = make(items)
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made.path, capture_output=True,
                          check=False)
    assert done.returncode == 0 and done.stdout.count(b"OK") == 4


def test_existing_file_is_never_overwritten(make: Make, items: list[Item], tmp_path: Path) -> None:
    """A restore by mistake harms nothing."""
    made = make(items)
    (tmp_path / "there").write_text("precious")
    with pytest.raises(InvalidInput, match="something is there already"):
        restore(made.path, "orders", str(tmp_path / "there"))
    assert (tmp_path / "there").read_text() == "precious"


@pytest.mark.parametrize("name", ["orders", "files", "plan"])
@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_one_wrong_byte_names_the_item(
    make: Make, items: list[Item], name: str, place: float
) -> None:
    """Wherever it is: that item is bad and the others are good, and it is not restored."""
    made = make(items)
    flip(made.path / made.item(name).file, place)
    assert list(bad(made)) == [name]
    with pytest.raises(ChangeoverError, match=f"item {name} is damaged"):
        restore(made.path, name, str(made.path.parent / "back"))


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS"])
def test_wrong_byte_in_what_the_backup_says_of_itself_is_seen(
    make: Make, items: list[Item], name: str
) -> None:
    """A changed manifest is no manifest."""
    made = make(items)
    flip(made.path / name, -2)
    with pytest.raises(InvalidInput, match="damaged"):
        verify(made.path)


def flip(path: Path, place: float) -> None:
    """Change one byte: at a share of the file, or counted from its end."""
    data = bytearray(path.read_bytes())
    data[int(place) if place < 0 else int(place * len(data))] ^= 0x55
    path.write_bytes(data)


def test_missing_file_names_the_item(make: Make, items: list[Item]) -> None:
    """Half a backup that was copied elsewhere is not a good one."""
    made = make(items)
    (made.path / made.item("files").file).unlink()
    assert bad(made) == {"files": "its file files.tar is missing"}


@contextmanager
def writing(path: Path) -> Iterator[list[int]]:
    """Write rows without rest in a thread; the list holds how many were committed.

    The pause lets others have the lock now and then: SQLite has no queue for it.
    """
    stop, count = threading.Event(), [0]

    def work() -> None:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            while not stop.wait(0.001):
                with connection:
                    connection.execute('INSERT INTO "or""ders" (note) VALUES (?)', ("new",))
                    connection.execute('INSERT INTO "or""ders" (note) VALUES (?)', ("pair",))
                count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_for(lambda: count[0] > 3)
        yield count
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_sqlite_is_copied_as_of_one_moment_while_others_write(
    make: Make, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction is in the copy whole or not at all, and writers go on."""
    for limit in ("_TIMEOUT_SECONDS", "_STUCK_SECONDS"):
        monkeypatch.setattr(sqlite, limit, 120.0)
    url = fill(tmp_path / "busy.db", 20_000, mode=mode)
    with writing(tmp_path / "busy.db") as count:
        before = count[0]
        made = make([DatabaseItem("busy", url)])
        after = count[0]
        wait_for(lambda: count[0] > after, what="a write after the backup")
    assert bad(made) == {}
    with closing(sqlite3.connect(made.path / "busy.sqlite")) as copy:
        rows = copy.execute('SELECT note, count(*) FROM "or""ders" WHERE note IN (?, ?) '
                            "GROUP BY note", ("new", "pair")).fetchall()
    assert rows[0][1] == rows[1][1] and before <= rows[0][1] <= count[0]


def test_database_that_stays_locked_is_one_message(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a program that holds it."""
    monkeypatch.setattr(sqlite, "_STUCK_SECONDS", 1.0)
    monkeypatch.setattr(sqlite, "_TIMEOUT_SECONDS", 1.0)
    url = fill(tmp_path / "held.db", 10, mode="delete")
    with closing(sqlite3.connect(tmp_path / "held.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable, match="locked"):
            make([DatabaseItem("held", url)])


def test_progress_of_a_database_is_told_in_pages(tmp_path: Path) -> None:
    """A person sees how far it is, from a first part to all of it."""
    url, told = fill(tmp_path / "big.db", 20_000), list[Progress]()
    make_backup([DatabaseItem("big", url)], tmp_path / "b", name="n", now=clock.now(),
                report=told.append)
    shares = [each.share for each in told]
    assert told[0].unit == "pages" and len(shares) > 3
    assert shares == sorted(shares) and shares[0] < 0.9 and shares[-1] == 1


@pytest.mark.parametrize(("item", "error", "text"), [
    (DatabaseItem("d", "sqlite:////nowhere/x.db"), Unreachable, "no SQLite database"),
    (FolderItem("f", Path("/nowhere")), Unreachable, "no such folder"),
    (DatabaseItem("d", "mysql://me:secret@host/x"), InvalidInput, "mysql cannot be backed up"),
    (DatabaseItem("d", "no url, secret"), InvalidInput, "this is not a database URL"),
    (TextItem("../x", ""), InvalidInput, "is no name"),
], ids=lambda value: "")
def test_item_that_cannot_be_backed_up_leaves_nothing_half_done(
    make: Make, tmp_path: Path, item: Item, error: type[ChangeoverError], text: str
) -> None:
    """One clear message, no secret in it, and no folder that could be taken for a backup."""
    with pytest.raises(error, match=text) as caught:
        make([TextItem("first", "x"), item])
    assert "secret" not in str(caught.value)
    assert not list((tmp_path / "backups").glob("[!.]*")) if (tmp_path / "backups").exists() else 1
    assert not list(tmp_path.glob("backups/.*.part"))


def test_damaged_database_is_not_backed_up(make: Make, tmp_path: Path) -> None:
    """A copy of something broken would be as broken."""
    (tmp_path / "x.db").write_bytes(b"this is no database at all, though it is long enough" * 99)
    with pytest.raises(ChangeoverError, match="damaged or none"):
        make([DatabaseItem("d", f"sqlite:///{tmp_path / 'x.db'}")])


def test_full_disk_is_one_message_and_leaves_nothing(
    tmp_path: Path, mount: Callable[..., None]
) -> None:
    """Whichever kind fills it up."""
    target = tmp_path / "small"
    target.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", target)
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "file").write_bytes(os.urandom(4 << 20))
    for item in (DatabaseItem("d", fill(tmp_path / "big.db", 8_000)),
                 FolderItem("f", tmp_path / "big"), TextItem("t", "x" * (4 << 20))):
        with pytest.raises(EnvironmentProblem, match="cannot be written"):
            make_backup([item], target, name="n", now=clock.now())
        assert [path.name for path in target.iterdir()] == [".n.lock"]


def test_file_that_only_grows_is_kept_as_it_began(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is written all the time does not stop a backup, and is told."""
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "access.log"
    log.write_bytes(b"line\n" * 4_000_000)
    changing(monkeypatch, lambda: _append(log))
    made = make([FolderItem("logs", tmp_path / "logs")])
    assert bad(made) == {} and "grew meanwhile" in made.item("logs").notes[0]


def test_file_that_changes_each_time_fails_the_backup(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the old and half of the new is worse than no backup."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "state"
    file.write_bytes(b"0" * 20_000_000)
    changing(monkeypatch, lambda: _rewrite(file))
    with pytest.raises(ChangeoverError, match="changed each"):
        make([FolderItem("data", tmp_path / "data")])


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"line\n")


def _rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(8))


def changing(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Have something done right before and right after each read of a file."""
    copied = folders._copied

    def work(*arguments: Any, **options: Any) -> str:
        change()
        found = copied(*arguments, **options)
        change()
        return found

    monkeypatch.setattr(folders, "_copied", work)


def test_what_is_no_file_is_noted_and_links_do_not_lead_out(make: Make, tmp_path: Path) -> None:
    """Pipes are not read, and a link to elsewhere brings nothing from there."""
    folder = tmp_path / "odd"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "out").symlink_to("/etc")
    (folder / os.fsdecode(b"\xff\n")).write_text("x")
    made = make([FolderItem("odd", folder)])
    assert bad(made) == {} and sorted(note.split(" is ")[0] for note in made.items[0].notes) == [
        "out", "pipe"]


def test_archive_that_leads_out_unpacks_nothing_there(
    make: Make, items: list[Item], tmp_path: Path
) -> None:
    """An archive that somebody made, with a path that climbs, is refused."""
    import io
    import tarfile

    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        info = tarfile.TarInfo("../planted")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "place").mkdir()
    with pytest.raises(ChangeoverError, match="cannot be unpacked"):
        folders.extract(tmp_path / "evil.tar", tmp_path / "place")
    assert not (tmp_path / "planted").exists()


def test_backups_in_the_folder_itself_are_not_backed_up(tmp_path: Path) -> None:
    """A backup of a folder that holds the backups does not eat itself."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "a").write_text("a")
    made = make_backup([FolderItem("home", tmp_path / "home")], tmp_path / "home" / "backups",
                       name="n", now=clock.now())
    assert list(made.item("home").facts["files"]) == ["a"]


_LARGE = """
import os, signal, sys
from pathlib import Path
from changeover import clock
from changeover.backup.items import DatabaseItem
from changeover.backup.make import make_backup
make_backup([DatabaseItem("big", sys.argv[1])], Path(sys.argv[2]), name="one", now=clock.now(),
            report=lambda told: told.done > 2500 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_process_killed_in_a_large_backup_leaves_none_and_is_repeated(
    make: Make, tmp_path: Path
) -> None:
    """kill -9 in the middle of 200 MB: nothing looks like a backup, and the repeat makes one."""
    url = fill(tmp_path / "big.db", 150_000)
    target = tmp_path / "backups"
    part = target / ".one.part" / "big.sqlite"
    done = subprocess.run([sys.executable, "-c", _LARGE, url, str(target)], cwd=ROOT, timeout=300,
                          check=False)
    assert done.returncode == -signal.SIGKILL
    assert part.stat().st_size > 10_000_000 and backups(target) == []
    assert bad(make([DatabaseItem("big", url)])) == {}
    assert not part.parent.exists()


def test_backup_killed_at_any_line_is_completed_by_a_repeat(
    make: Make, items: list[Item], tmp_path: Path
) -> None:
    """After each kill there is no backup or a good one, and a repeat makes it good."""
    target = tmp_path / "backups"
    for kills in each_kill(("backup/make.py", "backup/manifest.py"),
                           lambda: shutil.rmtree(target, ignore_errors=True), lambda: make(items)):
        finished = backups(target)
        assert len(list(target.glob("[!.]*"))) == len(finished), kills
        assert bad(make(items)) == {} and not list(target.glob(".*.part")), kills


def test_check_killed_at_any_line_changes_nothing(
    make: Make, items: list[Item], tmp_path: Path
) -> None:
    """A check leaves the backup as it is, whenever it ends."""
    made = make(items)
    before = tree_of_bytes(made.path)
    for kills in each_kill(("backup/check.py",), lambda: None, lambda: verify(made.path)):
        assert tree_of_bytes(made.path) == before and bad(made) == {}, kills


def tree_of_bytes(path: Path) -> dict[str, bytes]:
    """Return a folder's files with their contents."""
    return {file.name: file.read_bytes() for file in path.iterdir()}

"""A file that other processes read is replaced as a whole, or stays as it was."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from changeover.errors import EnvironmentProblem
from changeover.machine.files import READABLE_BY_ALL, write_atomically
from tests.support.killing import each_kill

OLD, NEW = b"old" * 1_000, b"new" * 2_000


def test_kill_at_any_line_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Never a part of either; a hidden file that it leaves hinders nobody."""
    path = tmp_path / "routes.json"
    kills = each_kill(
        ("machine/files.py",),
        lambda: path.write_bytes(OLD),
        lambda: write_atomically(path, NEW),
    )
    for line in kills:
        assert path.read_bytes() in (OLD, NEW), line
    write_atomically(path, NEW)
    assert path.read_bytes() == NEW


def test_reader_meanwhile_sees_whole_files_only(tmp_path: Path) -> None:
    """One that opened the old file goes on with it to its end."""
    path = tmp_path / "state"
    write_atomically(path, OLD)
    with path.open("rb") as reader:
        first = reader.read(10)
        write_atomically(path, NEW)
        assert first + reader.read() == OLD
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_mode_is_the_one_asked_for_whatever_was_there(tmp_path: Path, mask: int) -> None:
    """The owner alone unless more is asked for; neither the umask nor the old file counts."""
    before = os.umask(mask)
    try:
        secret, shown = tmp_path / "secret", tmp_path / "shown"
        secret.write_text("readable by all before")
        secret.chmod(0o666)
        write_atomically(secret, "now secret")
        write_atomically(shown, "for all", mode=READABLE_BY_ALL)
    finally:
        os.umask(before)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(shown.stat().st_mode) == 0o644


def test_full_disk_is_one_clear_error_and_the_old_file_stays(
    tmp_path: Path, mount: Callable[..., None]
) -> None:
    """Nothing else is left on a disk that has no room anyway."""
    disk = tmp_path / "small"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", disk)
    path = disk / "state"
    write_atomically(path, OLD)
    with pytest.raises(EnvironmentProblem, match="No space left") as problem:
        write_atomically(path, b"x" * 1_000_000)
    assert problem.value.where == str(path) and "Free some space" in problem.value.next_step
    assert path.read_bytes() == OLD
    assert list(disk.iterdir()) == [path]


def test_read_only_disk_is_one_clear_error_and_the_old_file_stays(
    tmp_path: Path, mount: Callable[..., None]
) -> None:
    """As it is after a disk failed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "tmpfs", disk)
    path = disk / "state"
    write_atomically(path, OLD)
    mount("-o", "remount,ro", disk)
    with pytest.raises(EnvironmentProblem, match="Read-only file system"):
        write_atomically(path, NEW)
    assert path.read_bytes() == OLD


def test_folder_that_is_missing_is_one_clear_error(tmp_path: Path) -> None:
    """A folder is never made on the way: a wrong path would go unseen."""
    with pytest.raises(EnvironmentProblem, match="No such file"):
        write_atomically(tmp_path / "missing" / "state", NEW)

"""Cleaning up real files: what is moved, what is left, and how it comes back."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from changeover import cleanup, clock
from changeover.errors import EnvironmentProblem, InvalidInput, Refused
from tests.integration.cleanup.conftest import Place, birth, later_than, tree_of

pytestmark = pytest.mark.integration
NONE = timedelta(0)
Mount = Callable[..., None]


def reasons(survey: cleanup.Survey) -> str:
    """Return why things were left, as one text."""
    return "; ".join(f"{each.path}: {each.reason}" for each in survey.refused)


def test_dry_run_lists_what_would_move_and_moves_nothing(place: Place) -> None:
    """A person sees the list, with sizes, before anything happens."""
    place.file("a.tmp", "four")
    place.file("deep/b.tmp", "sixsix")
    before = place.tree()
    found = place.survey()
    assert sorted((each.path, each.size >= 4, each.entries) for each in found.found) == [
        (f"{place.root}/a.tmp", True, 1), (f"{place.root}/deep", True, 2)]
    assert place.tree() == before and not (place.root / cleanup.QUARANTINE).exists()


def test_quarantined_files_come_back_as_they_were(place: Place) -> None:
    """Undo is exact: every file, folder and link where and as it was."""
    for name in ("a.tmp", "deep/er/b.tmp", "c d"):
        place.file(name, name)
    (place.root / "link").symlink_to("a.tmp")
    before = place.tree()
    _, moved = place.quarantine()
    assert place.tree() == {} and len(moved) == 4
    back = place.bring_back()
    assert place.tree() == before and len(back.restored) == 4 and not back.refused


def test_only_what_matches_is_moved(place: Place) -> None:
    """Patterns mean what they mean in a shell, `**` any number of folders."""
    for name in ("a.tmp", "a.log", ".hidden.tmp", "x/b.tmp", "x/y/c.tmp", "x/y/keep"):
        place.file(name)
    place.patterns = ["**/*.tmp"]
    place.quarantine()
    assert set(place.tree()) == {"a.log", ".hidden.tmp", "x", "x/y", "x/y/keep"}


def test_what_existed_before_the_candidate_is_left(place: Place) -> None:
    """A file that was there first is not the candidate's, though it wrote to it since."""
    old = place.file("old.log")
    since = later_than(old)
    place.file("new.tmp")
    old.write_text("the candidate appended")
    found, moved = place.quarantine(since=since, any_age=False)
    assert moved == [f"{place.root}/new.tmp"]
    assert "old.log: existed before the candidate started" in reasons(found)
    assert place.quarantine("all", since=since, any_age=True)[1] == [f"{place.root}/old.log"]


def test_folder_with_something_older_in_it_is_left_whole(place: Place) -> None:
    """A folder moves as one, so the oldest thing in it decides."""
    since = later_than(place.file("mixed/old"))
    place.file("mixed/new")
    found, moved = place.quarantine(since=since, any_age=False)
    assert moved == [] and "existed before" in reasons(found)


@pytest.mark.skipif(sys.platform != "linux", reason="births are told by Linux's statx")
def test_new_file_with_an_old_date_is_the_candidates(place: Place) -> None:
    """What was unpacked from an archive carries old dates and is new all the same."""
    since = clock.from_timestamp(birth(place.root))
    os.utime(place.file("unpacked"), (0, 0))
    assert len(place.quarantine(since=since, any_age=False)[1]) == 1


def test_unknown_start_of_the_candidate_moves_nothing(place: Place) -> None:
    """Nobody knows when it started: nobody knows whose the files are."""
    place.file("a")
    found, moved = place.quarantine(since=None, any_age=False)
    assert moved == [] and "nobody knows when the candidate started" in reasons(found)


def test_root_that_is_not_there_is_nothing_to_clean(place: Place) -> None:
    """A candidate that never ran made no files."""
    missing = str(place.root / "never")
    task = cleanup.Cleanup([missing], [f"{missing}/*"], since=None, any_age=True)
    assert cleanup.survey(task).found == ()
    assert cleanup.quarantine(task, "n")[1] == []


def test_kept_folder_is_never_moved(place: Place) -> None:
    """The home directory stays although a pattern names it, what it is in or what is in it."""
    place.file("app/.changeover/store.db")
    place.patterns = ["*", "app/.changeover/*"]
    found, moved = place.quarantine(spared=[place.root / "app/.changeover"])
    assert moved == [] and "never moved" in reasons(found)


def test_root_inside_another_root_is_never_moved(place: Place) -> None:
    """A root is not moved by the pattern of another one."""
    place.file("inner/a")
    inner = str(place.root / "inner")
    roots = [str(place.root), inner]
    found, moved = cleanup.quarantine(
        cleanup.Cleanup(roots, [f"{place.root}/*"], since=None, any_age=True), "n")
    assert moved == [] and "is never moved" in reasons(found)


def test_what_takes_a_files_place_is_not_overwritten(place: Place) -> None:
    """Undo leaves the new file and says where the old one is."""
    place.file("a", "old")
    place.quarantine()
    place.file("a", "new")
    back = place.bring_back()
    assert place.tree() == {"a": "new"} and "something else is there now" in back.refused[0].reason
    (place.root / "a").unlink()
    assert place.bring_back().restored and place.tree() == {"a": "old"}


def test_missing_folders_are_made_again_on_the_way_back(place: Place) -> None:
    """The file comes back although its folder was removed meanwhile."""
    place.file("deep/er/a", "old")
    place.patterns = ["deep/er/*"]
    place.quarantine()
    (place.root / "deep/er").rmdir()
    place.bring_back()
    assert place.tree()["deep/er/a"] == "old"


def test_unknown_quarantine_names_those_that_are_there(place: Place) -> None:
    """A typo is answered with the list."""
    place.file("a")
    place.quarantine("rollback-3")
    with pytest.raises(InvalidInput, match="rollback-3"):
        place.bring_back("rollback-4")
    with pytest.raises(InvalidInput, match="no name of a quarantine"):
        place.bring_back("../rollback-3")


def test_purge_deletes_only_quarantines_whose_time_is_over(place: Place) -> None:
    """What is deleted is deleted for good, so not a second too early."""
    place.file("a")
    place.quarantine("old")
    roots, now = [str(place.root)], clock.now()
    assert cleanup.purge(roots, older_than=timedelta(days=7), now=now) == []
    assert cleanup.purge(roots, older_than=timedelta(days=7), now=now + timedelta(days=8)) == [
        f"{place.root}/{cleanup.QUARANTINE}/old"]
    assert cleanup.quarantines(roots) == []


@pytest.mark.parametrize("name", ["line\nbreak", "tab\t", "\x01\x7f", "quote'\"", "back\\slash",
                                  os.fsdecode(b"\xff\xfe"), "‮right-to-left", "-rf", " ", "*"],
                         ids=ascii)
def test_any_name_moves_and_comes_back(place: Place, name: str) -> None:
    """No name breaks the list, the manifest or the way back."""
    (place.root / name).write_text("x")
    _, moved = place.quarantine()
    assert place.tree() == {} and len(moved) == 1 and moved[0].isprintable()
    place.bring_back()
    assert (place.root / name).read_text() == "x"


def test_sockets_pipes_and_second_names_are_moved_unopened(place: Place) -> None:
    """A pipe that nobody reads does not hang it, and the other name of a file stays."""
    os.mkfifo(place.root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place.root / "socket"))
    (place.root / "second").hardlink_to(place.outside / "precious")
    _, moved = place.quarantine()
    assert len(moved) == 3 and place.is_untouched()
    cleanup.purge([str(place.root)], older_than=NONE, now=clock.now() + timedelta(seconds=1))
    assert place.is_untouched()


def test_very_deep_tree_moves_comes_back_and_is_deleted(place: Place) -> None:
    """Deeper than any path may be long, and than Python may call itself."""
    _dig(place.root, 3000)
    _, moved = place.quarantine()
    assert len(moved) == 1
    place.bring_back()
    assert (place.root / "d/d/d").is_dir()
    place.quarantine("again")
    gone = cleanup.purge([str(place.root)], older_than=NONE,
                         now=clock.now() + timedelta(seconds=1))
    assert len(gone) == 2 and list((place.root / cleanup.QUARANTINE).iterdir()) == [
        place.root / cleanup.QUARANTINE / ".lock"]


def _dig(top: Path, depth: int) -> None:
    handle = os.open(top, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        deeper = os.open("d", os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    os.close(handle)


@pytest.mark.parametrize("target", ["../outside", "../outside/precious", "/", "/etc/passwd",
                                    "../missing"])
def test_link_that_leads_out_is_left(place: Place, target: str) -> None:
    """It is named, and neither it nor what it leads to is touched."""
    (place.root / "link").symlink_to(target)
    found, moved = place.quarantine()
    assert moved == [] and "leads out" in reasons(found)
    assert place.is_untouched() and (place.root / "link").is_symlink()


def test_links_on_the_way_are_not_followed(place: Place) -> None:
    """Neither one link nor a chain of them leads a pattern out, nor one inside a folder."""
    (place.root / "first").symlink_to("second")
    (place.root / "second").symlink_to("../outside")
    place.file("folder/a")
    (place.root / "folder/out").symlink_to("../../outside")
    place.patterns = ["first/*", "second/folder/*", "**/precious", "folder"]
    found, moved = place.quarantine()
    assert moved == [f"{place.root}/folder"] and "links are not followed" in reasons(found)
    cleanup.purge([str(place.root)], older_than=NONE, now=clock.now() + timedelta(seconds=1))
    assert place.is_untouched()


def test_quarantine_that_is_a_link_is_refused(place: Place) -> None:
    """A candidate cannot have its files, or other people's, put elsewhere."""
    place.file("a")
    (place.root / cleanup.QUARANTINE).symlink_to("../outside")
    roots = [str(place.root)]
    for attempt in (place.quarantine, place.bring_back,
                    lambda: cleanup.purge(roots, older_than=NONE, now=clock.now())):
        with pytest.raises(EnvironmentProblem, match="cannot be used"):
            attempt()
    assert place.is_untouched() and (place.root / "a").exists()


def test_forged_manifest_leads_nowhere(place: Place) -> None:
    """The way back never leaves the root, whatever the candidate wrote into the manifest."""
    place.file("a")
    place.quarantine()
    folder = place.root / cleanup.QUARANTINE / "n"
    (place.root / "out").symlink_to("../outside")
    with (folder / "manifest.jsonl").open("a") as file:
        for parts in ('["..", "outside", "planted"]', '["out", "planted"]', '["/etc/planted"]',
                      '["a/../../outside/planted"]', '[]', '"x"', '[1]'):
            file.write(f'{{"number": 1, "parts": {parts}, "inode": 1}}\n')
        file.write("[[[[\n\xff\n{}\n")
    place.bring_back()
    assert place.is_untouched() and not Path("/etc/planted").exists()


def test_mount_points_are_left(place: Place, mount: Mount) -> None:
    """Another file system, the same one bound to a folder, and a bound file are not moved."""
    for name in ("tmpfs", "bound", "holds/one"):
        (place.root / name).mkdir(parents=True)
    place.file("file")
    mount("-t", "tmpfs", "tmpfs", place.root / "tmpfs")
    mount("--bind", place.outside, place.root / "bound")
    mount("--bind", place.outside, place.root / "holds/one")
    mount("--bind", place.outside / "precious", place.root / "file")
    place.patterns = ["*", "bound/*", "tmpfs/**"]
    found, moved = place.quarantine()
    assert moved == [] and place.is_untouched()
    for name in ("tmpfs: is a", "bound: is a", "holds: one in it is a", "file: is a"):
        assert f"{place.root}/{name} mount point" in reasons(found)


def test_mount_in_a_quarantine_survives_its_end(place: Place, mount: Mount) -> None:
    """What was mounted into quarantined files afterwards is not deleted with them."""
    place.file("folder/inner/a")
    place.quarantine()
    inner = place.root / cleanup.QUARANTINE / "n/files/1/inner"
    mount("--bind", place.outside, inner)
    with pytest.raises(EnvironmentProblem, match="mount point"):
        cleanup.purge([str(place.root)], older_than=NONE, now=clock.now() + timedelta(seconds=1))
    assert place.is_untouched()
    moved_to = place.root / cleanup.QUARANTINE / ".deleting-n/files/1/inner"
    os.system(f"umount '{moved_to}'")  # noqa: S605


def test_read_only_root_is_one_clear_message(place: Place, mount: Mount) -> None:
    """Nothing can be moved there, and that is said."""
    mount("-t", "tmpfs", "tmpfs", place.root)
    place.file("a")
    mount("-o", "remount,ro", place.root)
    with pytest.raises(EnvironmentProblem, match="Read-only file system"):
        place.quarantine()


def test_root_that_cannot_be_written_does_not_stop_the_others(place: Place, mount: Mount) -> None:
    """One bad root is told when the good ones are cleaned up."""
    (place.root.parent / "bad").mkdir()
    mount("-t", "tmpfs", "tmpfs", place.root.parent / "bad")
    (place.root.parent / "bad" / "a").write_text("x")
    mount("-o", "remount,ro", place.root.parent / "bad")
    place.file("a")
    roots = [str(place.root.parent / "bad"), str(place.root)]
    patterns = [f"{root}/*" for root in roots]
    with pytest.raises(EnvironmentProblem, match="Read-only"):
        cleanup.quarantine(cleanup.Cleanup(roots, patterns, since=None, any_age=True), "n")
    assert place.tree() == {}


def test_second_clean_up_at_once_is_refused(place: Place) -> None:
    """Two at work in one quarantine would give each other's numbers."""
    place.file("a")
    place.quarantine()
    place.file("b")
    import fcntl

    with (place.root / cleanup.QUARANTINE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="another process"):
            place.quarantine()
    assert set(tree_of(place.root)) == {"b"}

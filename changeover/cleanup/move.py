"""Into quarantine, back from it, and its end: renames, each safe to be killed in and repeated.

    ROOT/.changeover-quarantine/NAME/manifest.jsonl   a line for each thing: where it was
    ROOT/.changeover-quarantine/NAME/files/7          the thing of line 7, whatever its name was

1. The lines are on the disk before the first thing is moved. 2. A thing is moved by one rename in
its file system, from folder handle to folder handle. So a kill leaves each thing in one of two
places and a line that says which; a repeat of the same name moves the rest, and `bring_back` moves
what is there. The quarantine lies in the candidate's folder, so what its manifest says is not
trusted: paths in it are followed as carefully as patterns are.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from changeover import clock
from changeover.cleanup import dry_run, manifest
from changeover.cleanup import patterns as pattern
from changeover.cleanup.dry_run import Cleanup, Found, Left, Refusal, Survey, why
from changeover.cleanup.handles import (
    Facts,
    beneath,
    facts_of,
    names_in,
    open_folder,
    opened,
    rename_new,
    walk,
)
from changeover.cleanup.manifest import FILES, MANIFEST
from changeover.cleanup.patterns import QUARANTINE
from changeover.errors import ChangeoverError, EnvironmentProblem, InvalidInput, Refused
from changeover.machine.escaped import escaped

LOCK = ".lock"
# a name that `_NAME` does not allow: what is being deleted cannot be brought back
_ENDING = ".deleting-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """What is where it was again, and what could not be brought back and why."""

    restored: tuple[str, ...]
    refused: tuple[Refusal, ...]


def quarantine(task: Cleanup, name: str) -> tuple[Survey, list[str]]:
    """Move what the patterns match into the quarantine called `name`.

    Args:
        task: What may be moved.
        name: Of the quarantine; a repeat with the same name carries on.

    Returns:
        What was found and refused now, and the printable paths of all that the quarantine holds,
        those of an earlier call that was killed among them.

    Raises:
        InvalidInput: A root, a pattern or the name is refused; nothing was moved.
        Refused: Another process is at work in a root's quarantine.
        EnvironmentProblem: A quarantine cannot be written; those of other roots were.
    """
    _check_name(name)
    scopes = pattern.scopes(task.roots, task.patterns, task.base)
    rules = dry_run.rules_of(scopes, task)
    found: list[Found] = []
    refused: list[Refusal] = []
    moved: list[str] = []
    problems: list[ChangeoverError] = []
    for scope in scopes:
        seen = dry_run.survey_scopes([scope], rules)
        found += seen.found
        refused += seen.refused
        try:
            moved += _quarantine_one(scope.root, name, seen.found, refused)
        except ChangeoverError as error:
            problems.append(error)  # the other roots are cleaned up all the same
    if problems:
        raise problems[0]
    return Survey(tuple(found), tuple(refused)), moved


def _quarantine_one(
    path: Path, name: str, found: Sequence[Found], refused: list[Refusal]
) -> list[str]:
    """Move what was found in one root and return all that its quarantine holds."""
    with _root(path) as root:
        # nothing new: what an earlier call moved before it was killed is returned all the same
        if not found and not _exists(root, name):
            return []
        with _opened(path, root, name, is_new=True) as place:
            refused += _move(root, place, found)
            inside = [line for line in manifest.lines(place) if _is_inside(place, line)]
    return [escaped(path.joinpath(*line.parts)) for line in inside]


def bring_back(roots: Sequence[str], name: str, *, base: Path | None = None) -> BroughtBack:
    """Move everything of a quarantine back to where it was; never over what is there now.

    A repeat brings back the rest. The empty quarantine stays until `purge`, so that it is known.

    Raises:
        InvalidInput: No root has a quarantine of this name.
        Refused: Another process is at work in it.
    """
    _check_name(name)
    restored: list[str] = []
    refused: list[Refusal] = []
    is_known = False
    for scope in pattern.scopes(roots, [], base):
        with _root(scope.root) as root:
            if not _exists(root, name):
                continue
            is_known = True
            with _opened(scope.root, root, name) as place:
                # the last moved comes first: a file goes back before its folder was moved
                for line in reversed(manifest.lines(place)):
                    shown = escaped(scope.root.joinpath(*line.parts))
                    reason = _put_back(root, place, line)
                    if reason:
                        refused.append(Refusal(shown, reason))
                    elif reason is not None:
                        restored.append(shown)
    if not is_known:
        known = ", ".join(quarantines(roots, base=base)) or "none"
        raise InvalidInput(f"there is no quarantine {escaped(name)}", allowed=known,
                           next_step="One whose time was over is deleted")
    # without repetition: a thing may have been moved, brought back and moved again
    return BroughtBack(tuple(dict.fromkeys(restored)), tuple(refused))


def purge(
    roots: Sequence[str], *, older_than: timedelta, now: datetime, base: Path | None = None
) -> list[str]:
    """Delete quarantines to which nothing was added for a time, for good.

    A kill leaves one half deleted under another name; the next call deletes the rest. Mount points
    in it and everything on them stay.

    Returns:
        The printable paths of the quarantines that were deleted.

    Raises:
        EnvironmentProblem: Some could not be deleted; the others were.
    """
    gone: list[str] = []
    problems: list[str] = []
    for scope in pattern.scopes(roots, [], base):
        with _root(scope.root) as root:
            if not _exists(root):
                continue
            with _locked(scope.root, root) as folder:
                for name in sorted(_due(folder, now - older_than)):
                    shown = escaped(scope.root / QUARANTINE / name.removeprefix(_ENDING))
                    try:
                        _delete_one(folder, name)
                        gone.append(shown)
                    except OSError as error:
                        problems.append(f"{shown} cannot be deleted: {why(error)}")
    if problems:
        raise EnvironmentProblem("; ".join(problems), next_step="A person must delete them")
    return gone


def quarantines(roots: Sequence[str], *, base: Path | None = None) -> list[str]:
    """Return the names of the quarantines that can be brought back, oldest first."""
    found: dict[str, float] = {}
    for scope in pattern.scopes(roots, [], base):
        with _root(scope.root) as root:
            if not _exists(root):
                continue
            with beneath(root, [QUARANTINE]) as folder:
                for name in names_in(folder):
                    facts = facts_of(folder, name)
                    if _NAME.match(name) and facts.is_folder:
                        found[name] = facts.since
    return sorted(found, key=lambda name: found[name])


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise InvalidInput(f"{escaped(name)} is no name of a quarantine",
                           allowed="letters, digits, `.`, `_` and `-`, at most 100, as rollback-3")


def _exists(root: int, *name: str) -> bool:
    try:
        with beneath(root, [QUARANTINE, *name]):
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise EnvironmentProblem(
            f"{'/'.join([QUARANTINE, *name])} cannot be used: {why(error)}",
            next_step="It must be a folder; find out who put something else there") from error


@contextmanager
def _root(path: Path) -> Iterator[int]:
    try:
        with opened(path) as root:
            yield root
    except OSError as error:
        raise EnvironmentProblem(f"the root cannot be used: {why(error)}",
                                 where=escaped(path)) from error


@contextmanager
def _locked(path: Path, root: int) -> Iterator[int]:
    """Lock a root's quarantines; the system unlocks them when the process dies."""
    with beneath(root, [QUARANTINE]) as folder:
        # not blocking, no link: the folder is the candidate's, who may have put anything there
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        lock = os.open(LOCK, flags, 0o600, dir_fd=folder)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"another process is cleaning up {escaped(path)}",
                             next_step="Try again when it is done") from None
            yield folder
        finally:
            # closing the file gives the lock back
            os.close(lock)


@contextmanager
def _opened(path: Path, root: int, name: str, *, is_new: bool = False) -> Iterator[int]:
    """Open one quarantine, made when it is new, under its root's lock."""
    try:
        if is_new:
            _make(root, QUARANTINE)
        with _locked(path, root) as folder:
            if is_new:
                _make(folder, name)
            with beneath(folder, [name]) as place:
                if is_new:
                    _make(place, FILES)
                yield place
    except OSError as error:
        raise EnvironmentProblem(
            f"the quarantine cannot be used: {error.strerror}", where=f"{escaped(path)}/{name}",
            next_step="It must be a folder that may be written, on the same file system",
        ) from error


def _make(folder: int, name: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return  # a folder, or `beneath` refuses it


def _move(root: int, place: int, found: Sequence[Found]) -> list[Refusal]:
    """Move each thing that is still what was examined; return what was not moved."""
    if not found:
        return []
    refused = []
    # a rename cannot leave its mount, and must not be led to another one
    mount = facts_of(root).mount
    with beneath(place, [FILES], mount=mount) as files:
        # their lines are on the disk before the first of them is moved
        noted = manifest.note(place, found, at=clock.now())
        for each, line in zip(found, noted, strict=True):
            try:
                with beneath(root, each.parts[:-1], mount=mount) as folder:
                    _move_one(folder, each, files, str(line.number))
            except Left as left:
                refused.append(Refusal(each.path, str(left)))
            except FileNotFoundError:
                continue  # the candidate removed it itself
            except OSError as error:
                refused.append(Refusal(each.path, f"cannot be moved: {why(error)}"))
        os.fsync(files)
    return refused


def _move_one(folder: int, each: Found, files: int, number: str) -> None:
    """Move one thing.

    1. It is what was examined. 2. It is renamed. 3. Something else was put in its place between
    1 and 2 when another file arrived: that one goes back, nobody examined its age.
    """
    name = each.parts[-1]
    if not _is_same(facts_of(folder, name), each.facts):
        raise Left("was replaced while it was examined")
    rename_new(name, number, folder=folder, to_folder=files)
    if not _is_same(facts_of(files, number), each.facts):
        rename_new(number, name, folder=files, to_folder=folder)
        raise Left("was replaced while it was moved")


def _is_same(now: Facts, before: Facts) -> bool:
    # the birth, too: a new file may get the number of one that was removed
    return (now.identity, now.mount, now.born) == (before.identity, before.mount, before.born)


def _is_inside(place: int, line: manifest.Line) -> bool:
    try:
        with beneath(place, [FILES]) as files:
            facts_of(files, str(line.number))
            return True
    except OSError:
        return False


def _put_back(root: int, place: int, line: manifest.Line) -> str | None:
    """Move one thing back, or see that an earlier call did.

    Returns:
        Why it could not be, empty when it is back, None when it was never moved and is gone since.
    """
    name, mount = line.parts[-1], facts_of(root).mount
    try:
        # a repetition finds some things back already, put there by the call that was killed
        is_here = _is_inside(place, line)
        if is_here:
            _make_way(root, line.parts[:-1], mount)
        with beneath(root, line.parts[:-1], mount=mount) as folder:
            if not is_here:
                # by its inode: another file with the same name is none of ours
                return "" if facts_of(folder, name).inode == line.inode else None
            with beneath(place, [FILES], mount=mount) as files:
                rename_new(str(line.number), name, folder=files, to_folder=folder)
        return ""
    except FileExistsError:
        return f"something else is there now; it is still in quarantine as {FILES}/{line.number}"
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be brought back: {why(error)}"


def _make_way(root: int, parts: Sequence[str], mount: int) -> None:
    """Make the folders again that are gone since."""
    for index in range(len(parts)):
        with beneath(root, parts[:index], mount=mount) as folder:
            _make(folder, parts[index])


def _due(folder: int, before: datetime) -> Iterator[str]:
    for name in names_in(folder):
        # half deleted when a kill came: due whatever its age
        if name.startswith(_ENDING):
            yield name
        elif _NAME.match(name) and (facts := facts_of(folder, name)).is_folder:
            with beneath(folder, [name]) as place:
                try:
                    # the newest addition: a repeat of the same clean-up begins the time anew
                    newest = facts_of(place, MANIFEST).modified
                except FileNotFoundError:
                    newest = facts.modified
            if newest <= before.timestamp():
                yield name


def _delete_one(folder: int, name: str) -> None:
    """Delete one quarantine; it is renamed first, so that nobody brings back half of it."""
    ending = name if name.startswith(_ENDING) else _ENDING + name
    if ending != name:
        rename_new(name, ending, folder=folder, to_folder=folder)
    _delete_all(folder, ending)


def _delete_all(folder: int, name: str) -> None:
    """Delete a folder with all that is in it, following no link and entering no mount."""
    handle = open_folder(name, folder)
    try:
        mount = facts_of(handle).mount
        if mount != facts_of(folder).mount:
            raise OSError(errno.EXDEV, "is a mount point", name)
        for entry in walk(handle):
            if entry.facts.mount != mount:
                raise OSError(errno.EXDEV, "is a mount point", entry.name)
            # a folder comes again when all that was in it is gone
            if entry.is_left:
                os.rmdir(entry.name, dir_fd=entry.folder)
            elif not entry.facts.is_folder:
                os.unlink(entry.name, dir_fd=entry.folder)
    finally:
        os.close(handle)
    os.rmdir(name, dir_fd=folder)

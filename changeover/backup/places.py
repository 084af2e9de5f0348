"""Where backups are: a folder here, or an address that fsspec reaches.

For an address a backup is made and restored here, then copied there file by file:

    ADDRESS/NAME/ITEM.sqlite …   each one read back, its checksum compared
    ADDRESS/NAME/manifest.json
    ADDRESS/NAME/SHA256SUMS      last: without it, or with half of it, it is no backup

No protocol but a few can rename a folder in one step, and each can do this. A kill at any line
leaves there what no command takes for a backup, and what a repeat writes again.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from changeover.backup import check, make, manifest
from changeover.backup.items import Item, Report, check_name, servers_of
from changeover.backup.manifest import MANIFEST, SUMS, Backup
from changeover.errors import ChangeoverError, InvalidInput, Unreachable
from changeover.machine.remote_files import RemoteFiles, folder_of, problem_of
from changeover.plan.procedures import BackupSpec
from changeover.plan.targets import as_target

IN_TRANSIT = "backups-in-transit"
"""The folder in a home for what is made for an address, or comes from one; else without any."""
ANSWER_SECONDS = 30.0
"""Longest time for what is small: a list, a manifest, the file that is a try."""
_SHORTEST = 0.5


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that was made, where it is, and what its check found."""

    backup: Backup
    where: str
    checked: check.Checked


@dataclass(frozen=True, slots=True)
class Place:
    """Where backups are.

    Attributes:
        folder: Of the backups; for an address, the one here in which they are made.
        address: Of the backups; empty for a folder.
        within: How long copying a backup there, or from there, may take.
    """

    folder: Path
    address: str = ""
    within: timedelta = BackupSpec().longest_copying

    def __str__(self) -> str:
        return self.address or str(self.folder)

    def where(self, name: str) -> str:
        """Return where the backup of a name is."""
        return f"{self.address}/{name}" if self.address else str(self.folder / name)

    def problem(self, who: str) -> str:
        """Return why nothing can be written at the address; empty when it can, or is none.

        A small file is written, read back and removed. What a missing package is about is left to
        `problem_of`.

        Args:
            who: A name that nobody else uses there at the same time.
        """
        if not self.address or problem_of(self.address):
            return ""
        name = f".writable-{who}"
        try:
            remote = self._remote()
            remote.put(name, b"changeover looks whether backups can be written here")
            remote.remove(name)
        except ChangeoverError as error:
            return f"no backup can be written: {error}"
        return ""

    def every(self) -> list[Backup]:
        """Return the finished backups, oldest first; damaged ones are left out.

        Raises:
            EnvironmentProblem: The protocol's package is missing.
            Unreachable: The address does not answer.
        """
        if not self.address:
            return make.backups(self.folder)
        remote, found = self._remote(), list[Backup]()
        for name in remote.folders():
            try:
                found += [each for each in [self._told(remote, name)] if each]
            except InvalidInput:
                continue
        return sorted(found, key=lambda backup: backup.made_at)

    @contextmanager
    def at_hand(self, name: str, item: str | None = None) -> Iterator[Path]:
        """Have a backup in a folder here, as long as the block lasts.

        Args:
            name: Of the backup.
            item: The only item that is needed; all of them when None.

        Raises:
            InvalidInput: There is no such backup or item.
            Refused: Another process here has it in use.
            Unreachable: The address does not answer in time.
        """
        if not self.address:
            yield self.folder / name
            return
        check_name(name)
        place = self.folder / "fetched"
        # not where the check locks, which runs meanwhile
        with make.alone(self.folder / "fetching", name):
            try:
                place.mkdir(mode=0o700, exist_ok=True)
                self._fetch(name, place / name, item)
                yield place / name
            except ChangeoverError as error:
                # the folder here is gone when people read it
                if error.where == str(place / name):
                    error.where = self.where(name)
                raise
            finally:
                shutil.rmtree(place / name, ignore_errors=True)

    def _fetch(self, name: str, folder: Path, item: str | None) -> None:
        remote = self._remote()
        found = self._told(remote, name)
        if found is None:
            raise manifest.unfinished(self.where(name), f"no {MANIFEST} with its {SUMS}")
        wanted = found.items if item is None else (found.item(item),)
        # what a killed one left
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        until = time.monotonic() + self.within.total_seconds()
        for file in [MANIFEST, SUMS, *(each.file for each in wanted)]:
            # it becomes a path of this machine, and comes from elsewhere
            check_name(file)
            # what is missing there is missing here, and is told by whoever reads it
            remote.get_file(f"{name}/{file}", folder / file, seconds=_left(until))

    def _told(self, remote: RemoteFiles, name: str) -> Backup | None:
        """Return what a backup there says of itself; None when there is no finished one."""
        sums = remote.read(f"{name}/{SUMS}")
        raw = remote.read(f"{name}/{MANIFEST}") if sums is not None else None
        if raw is None or sums is None:
            return None
        return manifest.parse(raw, sums, self.folder / "fetched" / name)

    def send(self, made: Backup) -> None:
        """Copy a backup to the address, what makes it one last.

        Raises:
            Unreachable: It cannot be written within the time, or reads back differently.
        """
        remote = self._remote()
        until = time.monotonic() + self.within.total_seconds()
        for each in made.items:
            remote.put_file(f"{made.name}/{each.file}", made.path / each.file, each.sha256,
                            seconds=_left(until))
        for name in (MANIFEST, SUMS):
            content = (made.path / name).read_bytes()
            remote.put(f"{made.name}/{name}", content, seconds=_left(until))

    def _remote(self) -> RemoteFiles:
        seconds = min(ANSWER_SECONDS, self.within.total_seconds())
        return RemoteFiles(self.address, seconds=seconds)

    def is_there(self, name: str) -> bool:
        """Whether a finished backup of that name is at the address."""
        try:
            return self._told(self._remote(), name) is not None
        # half of one, which a kill left, is made anew
        except InvalidInput:
            return False


def place(target: str, root: Path, *, within: timedelta | None = None) -> Place:
    """Return a place by what a plan or a person says.

    Args:
        target: A folder, relative to the root, or an address.
        root: The home.
        within: How long copying may take; None is the usual time.

    Raises:
        InvalidInput: It is neither, or has a password.
    """
    try:
        target = as_target(target)
    except ValueError as error:
        raise InvalidInput(str(error), where="the place of backups") from None
    if folder := folder_of(target):
        return Place(root / folder)
    # one place here for each address: backups of one name may be at several
    short = hashlib.sha256(target.encode()).hexdigest()[:12]
    return Place(root / IN_TRANSIT / short, target, within or BackupSpec().longest_copying)


def keep(
    items: Sequence[Item], at: Place, *, name: str, now: datetime,
    report: Report = lambda progress: None,
) -> Kept:
    """Make a backup, restore it into a scratch place, and have it where backups are.

    A finished one of that name is checked and returned. One that is not good is not copied to an
    address.

    Args:
        items: What is backed up.
        at: Where to.
        name: Of the backup.
        now: The present moment.
        report: Called with how far each item is.

    Raises:
        ChangeoverError: As by `make_backup`, or it cannot be copied to the address, where nothing
            looks like a backup then.
    """
    servers = servers_of(items)
    if not at.address:
        made = make.make_backup(items, at.folder, name=name, now=now, report=report)
        return Kept(made, at.where(name), check.verify(made.path, servers=servers))
    check_name(name)
    with make.alone(at.folder / "sending", name):
        try:
            if at.is_there(name):
                with at.at_hand(name) as path:
                    checked = check.verify(path, servers=servers)
                    return Kept(manifest.read(path), at.where(name), checked)
            made = make.make_backup(items, at.folder, name=name, now=now, report=report)
            checked = check.verify(made.path, servers=servers)
            if checked.is_good:
                at.send(made)
            return Kept(made, at.where(name), checked)
        finally:
            # it may be large; what a killed one left, too
            shutil.rmtree(at.folder / name, ignore_errors=True)


def _left(until: float) -> float:
    """Return how many seconds are left.

    Raises:
        Unreachable: None that are worth a try.
    """
    left = until - time.monotonic()
    if left < _SHORTEST:
        raise Unreachable("there was no time for more (`cutover.backup.within`)")
    return left

"""Is a backup good? Its checksums, and everything in it restored into a scratch place."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from changeover.backup import folders, manifest, postgres, sqlite
from changeover.backup.items import Progress, Report
from changeover.backup.make import alone
from changeover.backup.manifest import Backup, SavedItem, checksum
from changeover.errors import ChangeoverError

_MOST_NOTES = 10
"""Of files whose mode or owner could not be restored; the first ones say enough."""


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """Whether one item is good, and what was seen or is wrong."""

    name: str
    is_good: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What `verify` found, item by item."""

    path: Path
    items: tuple[CheckedItem, ...]

    @property
    def is_good(self) -> bool:
        """Whether everything is good."""
        return all(item.is_good for item in self.items)


def verify(
    path: Path, *, servers: Mapping[str, str] | None = None, scratch: str | None = None,
    report: Report = lambda progress: None,
) -> Checked:
    """Check a backup by restoring all of it into a scratch place that is removed afterwards.

    Args:
        path: The backup's folder.
        servers: URLs of PostgreSQL items by name: beside each a scratch database is made. Of one
            without, the address is known from the backup, and its password from PGPASSWORD.
        scratch: URL of a PostgreSQL server for all scratch databases instead.
        report: Called when an item is done.

    Raises:
        InvalidInput: There is no finished backup, or its manifest was changed.
        Refused: Another process checks the same backup.
    """
    backup = manifest.read(path)
    place = path.absolute()
    # Two checks at once would make scratch databases of the same name.
    with alone(place.parent, place.name):
        found = []
        for number, item in enumerate(backup.items, 1):
            url = scratch or (servers or {}).get(item.name)
            found.append(_check(backup, item, url))
            report(Progress(item.name, number, len(backup.items), "items"))
        return Checked(path, tuple(found))


def _check(backup: Backup, item: SavedItem, url: str | None) -> CheckedItem:
    unchecked: list[str] = []
    try:
        wrong = _damaged(backup.path / item.file, item)
        # What is damaged is not restored: programs do strange things with broken archives.
        if not wrong:
            wrong, unchecked = _TRIES[item.kind](backup, item, url)
    except (ChangeoverError, OSError) as error:
        # One bad item does not end the check: people must know of the others, too.
        wrong = [f"could not be restored: {error}"]
    notes = list(item.notes)
    for note in unchecked:
        if note not in notes:
            notes.append(note)
    seen = wrong or [_seen(item), *notes]
    return CheckedItem(item.name, not wrong, "; ".join(seen))


def _damaged(file: Path, item: SavedItem) -> list[str]:
    if not file.is_file():
        return [f"its file {item.file} is missing"]
    # The size first: it shows a file that was cut off without reading gigabytes.
    if file.stat().st_size != item.size or checksum(file) != item.sha256:
        return [f"its file {item.file} is not what was written: the checksum differs"]
    return []


_Tried = tuple[list[str], list[str]]
"""What is wrong with an item, and what of it could not be checked here."""


def _try_folder(backup: Backup, item: SavedItem, _url: str | None) -> _Tried:
    # Beside the backup: there is room for its content, which /tmp may not have.
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=backup.path.parent) as scratch:
        place = Path(scratch) / "unpacked"
        place.mkdir()
        folders.extract(backup.path / item.file, place)
        wrong = folders.problems(place, item.facts)
        notes = folders.changed_rights(place, item.facts)
        return wrong, notes[:_MOST_NOTES]


def _try_postgres(backup: Backup, item: SavedItem, url: str | None) -> _Tried:
    # The same name each time: what a killed check left behind is found and dropped.
    key = f"{backup.path.absolute()} {item.name} {item.sha256}"
    short = hashlib.sha256(key.encode()).hexdigest()[:16]
    server, encoding = url or str(item.facts["address"]), str(item.facts["encoding"])
    with postgres.scratch(server, f"changeover_verify_{short}", encoding) as place:
        postgres.restore(backup.path / item.file, place, item.facts)
        return postgres.problems(place, item.facts), []


_TRIES: dict[str, Callable[[Backup, SavedItem, str | None], _Tried]] = {
    "text": lambda _backup, _item, _url: ([], []),
    "folder": _try_folder,
    "sqlite": lambda backup, item, _url: sqlite.problems(backup.path / item.file, item.facts),
    "postgres": _try_postgres,
}


def _seen(item: SavedItem) -> str:
    if "rows" in item.facts:
        rows = item.facts["rows"]
        return f"restored: {sum(rows.values())} rows in {len(rows)} tables"
    if "files" in item.facts:
        return f"unpacked: {len(item.facts['files'])} files"
    return "the checksum is right"

"""What a backup says of itself: `manifest.json`, and `SHA256SUMS` for `sha256sum -c` by hand.

    BACKUP/manifest.json    format, name, when, and of each item kind, file, size, checksum, facts
    BACKUP/SHA256SUMS       a line for each file, the manifest among them
    BACKUP/NAME.sqlite, NAME.dump, NAME.tar, NAME.txt
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from changeover.errors import InvalidInput

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
FORMAT = 1
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class SavedItem:
    """An item in a backup.

    Attributes:
        name: Of the item.
        kind: sqlite, postgres, folder or text.
        file: Its file in the backup.
        size: Bytes.
        sha256: Of the file.
        facts: What a restored copy must have: rows of tables, checksums of files.
        notes: What a person should know, as a link that is not in it.
    """

    name: str
    kind: str
    file: str
    size: int
    sha256: str
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup."""

    path: Path
    name: str
    made_at: datetime
    items: tuple[SavedItem, ...]

    def item(self, name: str) -> SavedItem:
        """Return an item by its name.

        Raises:
            InvalidInput: There is none.
        """
        for item in self.items:
            if item.name == name:
                return item
        names = ", ".join(item.name for item in self.items)
        raise InvalidInput(
            f"the backup has no item {name!r}", where=str(self.path), allowed=names)


def checksum(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(backup: Backup) -> None:
    """Write manifest and checksums into the backup's folder."""
    document = {
        "format": FORMAT, "name": backup.name, "made_at": backup.made_at.isoformat(),
        "items": [asdict(item) for item in backup.items],
    }
    (backup.path / MANIFEST).write_text(json.dumps(document, indent=1))
    sums = {item.file: item.sha256 for item in backup.items}
    sums[MANIFEST] = checksum(backup.path / MANIFEST)
    # Two spaces between them, as `sha256sum -c` reads it.
    lines = [f"{sha}  {name}\n" for name, sha in sums.items()]
    (backup.path / SUMS).write_text("".join(lines))


def read(path: Path) -> Backup:
    """Return the backup in a folder.

    Raises:
        InvalidInput: There is none, it is of a newer format, or its manifest was changed.
    """
    try:
        raw = (path / MANIFEST).read_bytes()
        sums = (path / SUMS).read_bytes()
    except OSError as error:
        raise unfinished(str(path), error.strerror or "") from error
    return parse(raw, sums, path)


def unfinished(where: str, why: str) -> InvalidInput:
    """Return the error that says that there is no finished backup."""
    return InvalidInput(f"there is no finished backup: {why}", where=where,
                        next_step="See `changeover backup list`")


def parse(raw: bytes, listed: bytes, path: Path) -> Backup:
    """Return a backup by what its two files say.

    Args:
        raw: Its manifest.
        listed: Its checksums.
        path: Its folder, or the one that it is copied to.

    Raises:
        InvalidInput: It is of a newer format, or its manifest was changed.
    """
    try:
        sums = listed.decode()
    except UnicodeDecodeError:
        raise _damaged(path, SUMS) from None
    # Before it is read as JSON: a manifest that was changed says nothing that can be trusted.
    line = f"{hashlib.sha256(raw).hexdigest()}  {MANIFEST}"
    if line not in sums.splitlines():
        raise _damaged(path, MANIFEST)
    document = json.loads(raw)
    if document["format"] != FORMAT:
        raise InvalidInput(f"the backup has format {document['format']}", where=str(path),
                           allowed=str(FORMAT), next_step="Use the changeover that made it")
    items = tuple(SavedItem(**item) for item in document["items"])
    return Backup(path, document["name"], datetime.fromisoformat(document["made_at"]), items)


def _damaged(path: Path, name: str) -> InvalidInput:
    return InvalidInput(
        f"the backup is damaged: {name} does not have its checksum", where=str(path),
        next_step="Use another backup; the items may be good: `sha256sum -c SHA256SUMS` "
        "there tells")

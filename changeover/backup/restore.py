"""One item of a backup back to where a person wants it; nothing there is ever overwritten."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from changeover.backup import folders, manifest, postgres, sqlite
from changeover.backup.manifest import SavedItem, checksum
from changeover.errors import ChangeoverError, EnvironmentProblem, InvalidInput

_MOST_NOTES = 20


def restore(path: Path, item: str, to: str) -> str:
    """Restore one item.

    Args:
        path: The backup's folder.
        item: Name of the item.
        to: Where to: a new file or folder, or the URL of an empty PostgreSQL database.

    An item whose file has its checksum is restored, whatever a check of it may say: in an
    emergency what was backed up is wanted. What the check says stands in the answer.

    Returns:
        What was restored, one sentence, and what a person should know of it.

    Raises:
        InvalidInput: There is no such backup or item, or something is there already.
        ChangeoverError: The item is damaged or could not be restored; nothing half-done is left.
    """
    backup = manifest.read(path)
    saved = backup.item(item)
    file = backup.path / saved.file
    if not file.is_file() or checksum(file) != saved.sha256:
        raise ChangeoverError(
            f"item {item} is damaged: {saved.file} does not have its checksum",
            where=str(path), next_step="Use another backup")
    if saved.kind == "postgres":
        return _into_server(file, saved, to)
    target = Path(to)
    # A link that leads nowhere does not exist for `exists`, but would be written through.
    if target.exists() or target.is_symlink():
        raise InvalidInput("something is there already", where=to,
                           next_step="Move it away first: nothing is overwritten")
    try:
        notes = _into_place(file, saved, target)
    except OSError as error:
        what = f"it cannot be written: {error.strerror or error}"
        raise EnvironmentProblem(what, where=to) from error
    return "\n  ".join([f"{item} is restored to {target}", *notes])


def _into_place(file: Path, saved: SavedItem, target: Path) -> list[str]:
    """Restore beside the target, check, and rename; a kill leaves a folder called .restore-*.

    Returns what is not as it was, or could not be checked.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=target.parent) as place:
        part = Path(place) / "part"
        if saved.kind == "folder":
            part.mkdir(mode=0o700)
            folders.extract(file, part)
            wrong = folders.problems(part, saved.facts)
            notes = folders.changed_rights(part, saved.facts)
        else:
            shutil.copyfile(file, part)
            part.chmod(0o600)
            wrong, notes = [], []
            if saved.kind == "sqlite":
                wrong, notes = sqlite.problems(part, saved.facts)
                # A database that is not sound is left as it is: opening it to write may lose more.
                if not wrong:
                    sqlite.set_mode(part, saved.facts)
        part.rename(target)
    return [f"check it before you use it: {each}" for each in wrong] + _few(notes)


def _few(notes: list[str]) -> list[str]:
    left = len(notes) - _MOST_NOTES
    if left <= 0:
        return notes
    return [*notes[:_MOST_NOTES], f"and {left} more of the kind"]


def _into_server(file: Path, saved: SavedItem, to: str) -> str:
    if not to.startswith("postgresql"):
        raise InvalidInput(f"item {saved.name} is a PostgreSQL database", where=to,
                           allowed="postgresql://USER@HOST/NAME of an empty database")
    postgres.restore(file, to, saved.facts)
    if wrong := postgres.problems(to, saved.facts):
        raise ChangeoverError(f"the database is not good: {'; '.join(wrong)}",
                              where=postgres.bare(to))
    rows = sum(saved.facts["rows"].values())
    return f"{saved.name} is restored to {postgres.bare(to)}: {rows} rows"

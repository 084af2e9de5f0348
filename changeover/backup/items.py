"""What is backed up."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from changeover.errors import InvalidInput

# Names become names of files: no slash, and no dot in front, which marks what is half done.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


@dataclass(frozen=True, slots=True)
class DatabaseItem:
    """A SQLite or PostgreSQL database by its URL, whose password is never shown or stored."""

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FolderItem:
    """A folder with everything in it."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class TextItem:
    """A text, as the plan."""

    name: str
    text: str = field(repr=False)


Item = DatabaseItem | FolderItem | TextItem


def servers_of(items: Sequence[Item]) -> dict[str, str]:
    """Return the URLs of the databases by their item's name, for `verify`."""
    return {item.name: item.url for item in items if isinstance(item, DatabaseItem)}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one item is: `done` of `total` pages, tables or files; total 0 is not known yet."""

    item: str
    done: int
    total: int
    unit: str

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


Report = Callable[[Progress], None]


def check_name(name: str) -> None:
    """Raise InvalidInput unless a backup or an item can be called so."""
    if not _NAME.match(name):
        raise InvalidInput(f"{name!r} is no name of a backup or of an item of one",
                           allowed="letters, digits, `.`, `_` and `-`, at most 100")


def check_items(items: Sequence[Item]) -> None:
    """Raise InvalidInput unless every item can have its own file."""
    names = [item.name for item in items]
    for name in names:
        check_name(name)
        if names.count(name) > 1:
            raise InvalidInput(f"two items are called {name}", next_step="Rename one in the plan")

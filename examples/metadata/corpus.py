"""Real documents found on this machine: METADATA of every installed distribution, and READMEs."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

LARGEST_BYTES = 256 * 1024


def load() -> dict[str, str]:
    """Return documents by id, in a stable order; ids are safe in URLs.

    Ids are `NAME.metadata` for a distribution's METADATA and `NAME.readme` for a README file.
    """
    documents: dict[str, str] = {}
    for distribution in metadata.distributions():
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
        name = distribution.name or ""
        if text and name and len(text) <= LARGEST_BYTES:
            documents[f"{_slug(name)}.metadata"] = text
    for name, path in _readmes():
        documents[f"{_slug(name)}.readme"] = path.read_text("utf-8", "replace")
    return dict(sorted(documents.items()))


def _readmes() -> list[tuple[str, Path]]:
    """Return README files beside installed packages, named by their folder."""
    found: dict[str, Path] = {}
    for folder in sorted({Path(entry) for entry in sys.path if entry.endswith("site-packages")}):
        for path in sorted(folder.glob("*/README*")) + sorted(folder.glob("*/*/README*")):
            if path.is_file() and path.stat().st_size <= LARGEST_BYTES:
                # the first one in the folder's order: a second README of a package is left out
                found.setdefault("-".join(path.relative_to(folder).parts[:-1]), path)
    return sorted(found.items())


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-")

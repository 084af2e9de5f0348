"""The files that pages load: all of them are served by the console, none comes from elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

STATIC = Path(__file__).with_name("static")
LONGEST_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Asset:
    """A file.

    Args:
        content: Its bytes.
        media_type: What it is.
        digest: Of its content: in the address, so that browsers may keep it for a year.
    """

    content: bytes
    media_type: str
    digest: str


@cache
def known() -> dict[str, Asset]:
    """Return the assets by name. uPlot's lie in the package that carries it."""
    drawing = files("uplot").joinpath("static")
    found = {
        "uplot.js": drawing.joinpath("uPlot.iife.js").read_bytes(),
        "uplot.css": drawing.joinpath("uPlot.min.css").read_bytes(),
    }
    for path in sorted(STATIC.iterdir()):
        found[path.name] = path.read_bytes()
    return {name: _asset(name, content) for name, content in found.items()}


def address(name: str) -> str:
    """Return where an asset is served.

    Raises:
        KeyError: No such asset.
    """
    return f"/assets/{known()[name].digest}/{name}"


def _asset(name: str, content: bytes) -> Asset:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    kind = f"{kinds[Path(name).suffix]}; charset=utf-8"
    return Asset(content, kind, hashlib.sha256(content).hexdigest()[:16])

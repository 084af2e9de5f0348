"""What the page for approvals is made of: its style, its policy, its template."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")


def policy() -> str:
    """Return the page's content security policy: its own style, and nothing else at all."""
    # by the hash of the style: nothing else may be loaded, run or sent from this page
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    rules = [
        "default-src 'none'", f"style-src 'sha256-{digest}'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ]
    return "; ".join(rules)


@cache
def style() -> Markup:
    """Return the pages' style."""
    return Markup((TEMPLATES / "page.css").read_text())  # noqa: S704


@cache
# a name that the template misspells is an error, not an empty place
def templates() -> Environment:
    """Return where the pages' templates are."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

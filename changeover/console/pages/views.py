"""Every page, in the order of the navigation."""

from __future__ import annotations

from changeover.console.pages import (
    comparison,
    feature_flags,
    migrations,
    overview,
    reports,
    system_health,
    user_experience,
    verdicts,
)
from changeover.console.pages.view import View
from changeover.errors import InvalidInput

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    system_health.VIEW,
    feature_flags.VIEW,
    user_experience.VIEW,
    comparison.VIEW,
    verdicts.VIEW,
    reports.VIEW,
    migrations.VIEW,
    # further pages stand here
)


def view_of(name: str) -> View:
    """Return a page by its name.

    Raises:
        InvalidInput: No such page.
    """
    for view in VIEWS:
        if view.name == name:
            return view
    allowed = ", ".join(view.name for view in VIEWS)
    raise InvalidInput(f"no page {name[:40]!r}", where="page", allowed=allowed)

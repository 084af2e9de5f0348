"""What a page shows: its sections, and its charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from changeover.console.kept import Kept
from changeover.console.pages.charts import Chart
from changeover.console.pages.ranges import Range
from changeover.site.site import Site


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a migration.

    Args:
        site: The migration.
        range: How far back the charts go.
        now: The present moment.
        kept: What was made before and is still good.
    """

    site: Site
    range: Range
    now: datetime
    kept: Kept

    @property
    def migration(self) -> str:
        """Name of the migration."""
        return self.site.migration


def _no_charts(_look: Look) -> Sequence[Chart]:
    return ()


@dataclass(frozen=True, slots=True)
class View:
    """A page.

    The template `NAME/page.html.j2` places the sections and the charts; `NAME/SECTION.html.j2`
    renders one section. Only sections that changed are sent to a page that is open.

    Args:
        name: In the address, `overview`.
        title: For people.
        sections: Names of the sections.
        collect: Returns what the templates use.
        charts: Returns the charts that have data; their places are in the page's template.
    """

    name: str
    title: str
    sections: tuple[str, ...]
    collect: Callable[[Look], dict[str, Any]]
    charts: Callable[[Look], Sequence[Chart]] = field(default=_no_charts)

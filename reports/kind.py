"""What every kind of report is: its name, what can be asked of it, and its three forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from changeover.plan.model import Plan
from changeover.store.engine import Store
from reports.as_json import FORMAT, plain
from reports.page import Page, as_markdown


@dataclass(frozen=True, slots=True)
class Ask:
    """Which report is wanted.

    Args:
        now: The present moment.
        number: Id of what it is about: a cutover, a rollback, a suite's run; None: the newest.
        hours: Only the last so many hours; None: what is usual for the kind.
    """

    now: datetime
    number: int | None = None
    hours: float | None = None

    @property
    def since(self) -> datetime | None:
        """From when on; None when no hours were named."""
        return None if self.hours is None else self.now - timedelta(hours=self.hours)


@dataclass(frozen=True, slots=True)
class Report:
    """A report whose content is known; each form is made when it is asked for.

    Args:
        kind: Its kind.
        name: Name of its files, without ending.
        data: Its content: what the JSON form says.
        html: Returns the page.
        markdown: Returns the Markdown.
    """

    kind: str
    name: str
    data: Any
    html: Callable[[], str]
    markdown: Callable[[], str]

    def json(self) -> str:
        """Return the content for programs, as its schema says."""
        content = {"format": FORMAT, "kind": self.kind, **plain(self.data)}
        # NaN is no JSON: a figure that is none fails here, and not at whoever reads the report
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report.

    Args:
        name: Its name on the command line.
        help: What it says, in a line.
        model: Type of its data, of which the JSON schema is made.
        build: Makes it.
    """

    name: str
    help: str
    model: type
    build: Callable[[Store, Plan, Ask], Report]


def of_page(kind: str, name: str, data: Any, page: Page) -> Report:
    """Return a report whose HTML and Markdown are made of a page."""
    def html() -> str:
        from reports.render import render_page

        return render_page(page)

    return Report(kind, name, data, html, lambda: as_markdown(page))

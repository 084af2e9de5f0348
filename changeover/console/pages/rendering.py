"""From a view to what is sent: sections as HTML, charts as data, the whole page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from changeover.console.pages import assets, words
from changeover.console.pages.by_route import MOST_ROUTES
from changeover.console.pages.evidence import places
from changeover.console.pages.ranges import RANGES, Range
from changeover.console.pages.view import Look, View
from changeover.console.pages.views import VIEWS
from changeover.plan.model import Plan
from changeover.store import samples

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A view as it was at a moment.

    Args:
        at: When, Unix seconds.
        measured_at: When something was measured last, Unix seconds; None for never.
        sections: HTML by the section's name.
        charts: What the script draws, by the chart's name.
        page: The whole page, where it was asked for.
        cost: Seconds of CPU that it took.
    """

    at: float
    measured_at: float | None
    sections: dict[str, str]
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    page: str = ""
    cost: float = 0.0


def render(view: View, look: Look, *, whole: bool = False) -> Rendered:
    """Render a view.

    Args:
        view: The page.
        look: Of what, when and how far back.
        whole: Whether the whole page is wanted, beside its sections.

    Raises:
        StoreError: The store cannot be read.
    """
    context = {"plan": look.site.plan, "now": look.now, **view.collect(look)}
    sections = {}
    for name in view.sections:
        template = templates().get_template(f"{view.name}/{name}.html.j2")
        sections[name] = template.render(context)
    charts = {each.name: each.as_json() for each in view.charts(look)}
    measured = samples.measured_until(look.site.store, look.migration)
    return Rendered(
        look.now.timestamp(), measured.timestamp() if measured else None, sections, charts,
        _page(view, look, sections) if whole else "")


def _page(view: View, look: Look, sections: dict[str, str]) -> str:
    shown = {name: Markup(html) for name, html in sections.items()}  # noqa: S704
    return shell(view, look.range, look.site.plan, shown)


def shell(
    view: View, chosen: Range, plan: Plan, sections: dict[str, Markup] | None = None
) -> str:
    """Return a page; without sections it says that it is loading."""
    template = templates().get_template(f"{view.name}/page.html.j2")
    return template.render(
        view=view, views=VIEWS, range=chosen, ranges=RANGES, plan=plan,
        sections=sections, asset=assets.address, most_routes=MOST_ROUTES,
        places=places(plan.all_gates))


@cache
def templates() -> Environment:
    """Return where the templates are, with the words that they use."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True,
        # a name that a template misspells is an error, not an empty place
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["clock"] = words.clock_time
    found.filters["moment"] = words.moment
    found.filters["since"] = words.since
    found.filters["words"] = words.spaced
    return found

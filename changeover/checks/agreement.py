"""Asks both systems what they believe of their items, and compares that with the claims."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from changeover import clock
from changeover.checks.suites.target import CheckTarget
from changeover.domain.agreement import Believed, disagreements
from changeover.domain.routing import System
from changeover.site.site import Site
from changeover.store import claims

MOST_ITEMS = 5_000
"""Items of a system that are compared: the last ones that it lists."""
MOST_SHOWN = 5
SECONDS = 5.0


class _Item(BaseModel):
    item: str
    status: str


_LIST: TypeAdapter[list[_Item]] = TypeAdapter(Annotated[list[_Item], Field()])


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was compared: problems, those that could not be asked and why, how many items."""

    problems: list[str]
    unanswered: list[str]
    items: int

    @property
    def evidence(self) -> dict[str, Any]:
        """Everything for the store."""
        return {"items": self.items, "disagreements": self.problems[:100],
                "unanswered": self.unanswered}

    @property
    def text(self) -> str:
        """The first problems in a sentence."""
        shown = self.problems[:MOST_SHOWN]
        more = len(self.problems) - len(shown)
        return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def compare(site: Site, path: str, grace: timedelta) -> Agreement:
    """Return how the systems and the claims agree.

    Args:
        site: The running migration.
        path: Where each system lists its items: `[{"item": ..., "status": "done"}, ...]`.
        grace: Items that were claimed so short a time ago are left out.
    """
    target, believed, unanswered = CheckTarget.of(site), list[Believed](), list[str]()
    for system in System:
        try:
            answer = target.get(str(system), path, timeout=SECONDS).raise_for_status()
            listed = _LIST.validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            unanswered.append(f"the {system} does not list its items at {path} "
                              f"({type(error).__name__})")
            continue
        believed += [Believed(str(system), each.item, each.status)
                     for each in listed[-MOST_ITEMS:]]
    items = {each.item for each in believed}
    known = claims.some(site.store, site.migration, items)
    return Agreement(
        disagreements(believed, known, now=clock.now(), grace=grace), unanswered, len(items))

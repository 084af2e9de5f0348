"""What the shell offers when a person presses Tab: names that the plan and the store know.

Nothing is said when they cannot be read: a person who types wants no error in the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from changeover.cli.common import Session
from changeover.errors import ChangeoverError

if TYPE_CHECKING:
    from changeover.site.site import Site

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _from(read: Callable[[click.Context], Iterable[str]]) -> Complete:
    """Return what completes with the names that are read."""
    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        try:
            return [name for name in read(context) if name.startswith(begun)]
        except (ChangeoverError, OSError, ValueError):
            return []

    return complete


def _of_site(read: Callable[[Site], Iterable[str]]) -> Complete:
    return _from(lambda context: read(context.ensure_object(Session).site))


def _stages(site: Site) -> list[str]:
    return [stage.key for stage in site.plan.stages()]


def _awaited(site: Site) -> list[str]:
    from changeover.domain.awaited import Awaited

    return [*Awaited, *_stages(site)]


def _migrations(context: click.Context) -> list[str]:
    from changeover.store import plans

    session = context.ensure_object(Session)
    # the one that is being typed is none yet
    session.migration = None
    return plans.names(session.site.store)


def _environments(context: click.Context) -> Iterable[str]:
    session = context.ensure_object(Session)
    file = _plan_file(context)
    # the environment that is being typed is none yet
    session.environment = None
    if file is None:
        return session.site.plan.environments
    from changeover.plan.load import load_plan

    return load_plan(file).environments


def _plan_file(context: click.Context) -> Path | None:
    """Return the plan that the line names so far, if it does."""
    given = context.ensure_object(Session).plan_file or context.params.get("file")
    if given is not None:
        return Path(given)
    # an option without its value yet keeps click from reading the arguments before it
    takes_file = any(each.name == "file" for each in context.command.params)
    return Path(context.args[0]) if takes_file and context.args else None


def _segments(context: click.Context) -> list[str]:
    from changeover.plan.load import load_plan

    file = _plan_file(context)
    # a share follows the name
    return [f"{name}=" for name in load_plan(file).routing.segments] if file else []


def _tokens(site: Site) -> list[str]:
    from changeover.store import tokens

    return [each.id for each in tokens.every(site.store, site.migration)]


def _backups(site: Site) -> list[str]:
    from changeover.backup import from_plan

    place = from_plan.place_of(site)
    # nobody waits for another machine while a name is typed
    return [] if place.address else [each.name for each in place.every()]


def _scopes(site: Site) -> list[str]:
    from changeover.domain import going_back

    return [each for each in going_back.scopes(site.plan) if each not in (
        going_back.ALL, going_back.STEPS)]


stages = _of_site(_stages)
awaited = _of_site(_awaited)
flags = _of_site(lambda site: site.plan.flags)
scopes = _of_site(_scopes)
routes = _of_site(lambda site: [each.name for each in site.plan.routes])
suites = _of_site(lambda site: site.plan.suites)
token_ids = _of_site(_tokens)
backups = _of_site(_backups)
migrations = _from(_migrations)
environments = _from(_environments)
segments = _from(_segments)

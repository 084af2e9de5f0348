"""Whose a flow run or deployment of a Prefect server is that several databases use. Pure.

Deployments have a tag with the database's own name, and Prefect gives it to each of their runs.
What has no such tag was made before there were any: the store says whether it knows a run of it.
"""

from __future__ import annotations

from collections.abc import Iterable

_PREFIX = "store-"


def tag(owner: str) -> str:
    """Return the tag of a database's deployments and runs."""
    return f"{_PREFIX}{owner}"


def owner_in(tags: Iterable[str]) -> str:
    """Return which database tags name; empty when they name none."""
    return next((each.removeprefix(_PREFIX) for each in tags if each.startswith(_PREFIX)), "")


def is_foreign(tags: Iterable[str], owner: str) -> bool:
    """Whether tags name another database than one."""
    named = owner_in(tags)
    return bool(owner and named and named != owner)


def own_name(deployment: str, owner: str) -> str:
    """Return how a deployment is called where another database has its usual name."""
    return f"{deployment}-{owner}"

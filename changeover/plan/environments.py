"""A plan's environments: the values that `development` or `production` override. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from changeover.plan.document import dotted
from changeover.plan.location import Location
from changeover.plan.paths import MISSING, follow

Document = dict[str, Any]
_NEVER = ("migration", "environments", "environment")


def merged(document: Document, environment: str) -> Document:
    """Return a plan's document as an environment sees it.

    Mappings are merged name by name, everything else is replaced, `null` removes a value.

    Args:
        document: The plan as it was read.
        environment: Name of one of its environments.

    Raises:
        KeyError: The plan has no such environment.
    """
    overlay = document["environments"][environment]
    return {**merge(document, overlay), "environment": environment}


def merge(base: Any, overlay: Any) -> Any:
    """Return what an overlay makes of a value: mappings name by name, `None` removes."""
    # lists are replaced whole: their items have no names by which they could be merged
    if not (isinstance(base, Mapping) and isinstance(overlay, Mapping)):
        return overlay
    found = dict(base)
    for name, value in overlay.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merge(base[name], value) if name in base else value
    return found


def forbidden(document: Document) -> Iterator[tuple[Location, str]]:
    """Yield keys that an environment may not override: the migration's name, environments."""
    environments = document.get("environments")
    if not isinstance(environments, dict):
        return  # none, or wrong as a whole, which the model says
    for name, overlay in environments.items():
        if not isinstance(overlay, dict):
            yield ("environments", name), "must be a mapping of names to values"
            continue
        for key in overlay:
            if key in _NEVER:
                yield ("environments", name, key), (
                    f"{key!r} cannot differ between environments; remove it here")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a plan as an environment sees it, and where it comes from.

    `source` is `default`, `plan` or the environment's name; `plan` is the plan's own
    value where an environment overrides it.
    """

    path: str
    value: Any
    source: str
    plan: Any = None


def settings(
    document: Document, environment: str | None, effective: Document, base: Document
) -> list[Setting]:
    """Return every value that is in force, and where it comes from.

    Args:
        document: The plan as it was read.
        environment: Name of the environment; None for the plan alone.
        effective: The validated plan as the environment sees it, with defaults.
        base: The validated plan without an environment.
    """
    overlay = document["environments"][environment] if environment else {}
    found = []
    for path, value in _leaves(effective):
        is_overlaid, is_written = _says(overlay, path), _says(document, path)
        source = str(environment) if is_overlaid else "plan" if is_written else "default"
        own = follow(base, path) if is_overlaid else MISSING
        found.append(Setting(dotted(path), value, source, None if own is MISSING else own))
    return found


def _leaves(value: Any, path: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Yield the places that have a value: lists of plain values and empty mappings are one."""
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _leaves(part, (*path, str(name)))
    # a list of plain values is one value for a person
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    else:
        yield path, value


def _says(document: Any, path: Location) -> bool:
    """Whether a document says what stands at a path; a list, or a value above it, says it whole."""
    for part in path:
        if not _has(document, part):
            # a short form (`header: x`) or a null says all that stands below it
            return not isinstance(document, Mapping | list)
        document = document[part]
    return True


def _has(document: Any, part: str | int) -> bool:
    if isinstance(document, Mapping):
        return part in document
    return isinstance(document, list) and isinstance(part, int) and part < len(document)

"""A plan's environments: what `development`, `testing` or `production` say instead. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Document = dict[str, Any]
Location = tuple[str | int, ...]
_NEVER = ("migration", "environments", "environment")


def merged(document: Document, environment: str) -> Document:
    """Return a plan's document as an environment sees it.

    Mappings are merged name by name, everything else is replaced, `null` takes a value away.

    Args:
        document: The plan as it was read.
        environment: Name of one of its environments.

    Raises:
        KeyError: The plan has no such environment.
    """
    overlay = document["environments"][environment]
    return {**_merge(document, overlay), "environment": environment}


def _merge(base: Any, overlay: Any) -> Any:
    if not (isinstance(base, Mapping) and isinstance(overlay, Mapping)):
        return overlay
    found = dict(base)
    for name, value in overlay.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merge(base[name], value) if name in base else value
    return found


def forbidden(document: Document) -> Iterator[tuple[Location, str]]:
    """Yield what an environment may not say: what the migration is, or other environments."""
    environments = document.get("environments")
    for name, overlay in (environments or {}).items() if isinstance(environments, dict) else ():
        if not isinstance(overlay, dict):
            yield ("environments", name), "must be a mapping of names to values"
            continue
        for key in overlay:
            if key in _NEVER:
                yield ("environments", name, key), f"{key!r} is the same in all environments"


def overrides(base: Any, effective: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, base value, effective value) of every value that an environment changed."""
    if isinstance(base, Mapping) and isinstance(effective, Mapping):
        for name in dict.fromkeys([*base, *effective]):
            yield from overrides(base.get(name), effective.get(name),
                                 f"{path}.{name}" if path else str(name))
    elif base != effective:
        yield path, base, effective

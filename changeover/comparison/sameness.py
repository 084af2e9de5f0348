"""Whether two values are the same, types included: quickly, surely, or however deep. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from changeover.comparison.align import canonical
from changeover.comparison.json_text import as_json

CONTAINERS = frozenset({dict, list})
_dumps = orjson.dumps
Same = Callable[[Any, Any], bool]


def are_same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types included; False for another order of keys.

    Raises:
        RecursionError: Nested too deep.
        TypeError: Nested too deep, or an integer beyond 64 bits.
    """
    if a != b:
        return False
    if type(a) not in CONTAINERS:
        return type(a) is type(b)
    return _dumps(a, as_json) == _dumps(b, as_json)


def trusting(ours: list[Any], theirs: list[Any]) -> Same:
    """Return a comparison that ignores types, and records what it found equal.

    No method: a walk with its own would keep both documents in memory until garbage is collected.
    """

    def is_equal(a: Any, b: Any) -> bool:
        if a != b:
            return False
        ours.append(a)
        theirs.append(b)
        return True

    return is_equal


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types included; False may mean: too deep to say."""
    try:
        if a != b:
            return False
        if type(a) not in CONTAINERS:
            return type(a) is type(b)
        return _dumps(a, as_json) == _dumps(b, as_json) or canonical(a) == canonical(b)
    except (RecursionError, TypeError):
        return False

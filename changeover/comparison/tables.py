"""Lists of objects that all have the same keys, as tables: compared column by column. Pure.

Most lists in answers are such. A column is compared at the speed of C, and its path is written
once; only what differs is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

MOST_COLUMNS_TRIED = 3


Column = tuple[str, tuple[Any, ...], tuple[Any, ...]]
"""A key with its values in all rows, on both sides."""


def is_like_a_table(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Whether two lists of one length may well be a table, at a glance."""
    if not ours or len(ours) != len(theirs) or type(ours[0]) is not dict or len(ours[0]) < 2:
        return False
    try:
        return len({*map(len, ours), *map(len, theirs)}) == 1
    except TypeError:  # not all have parts
        return False


def columns_of(ours: Sequence[Any], theirs: Sequence[Any]) -> list[Column] | None:
    """Return rows as columns, or None when they are not all objects with the same keys.

    Args:
        ours: The baseline's items, of two keys or more.
        theirs: The candidate's, each where its partner stands.
    """
    if not ours:
        return []
    try:
        first = ours[0].keys()
        cells = itemgetter(*first)
        sides = [zip(*map(cells, rows), strict=True) for rows in (ours, theirs)]
        return [*zip(first, *sides, strict=True)]
    except (AttributeError, KeyError, TypeError, IndexError):  # another key, or not an object
        return None


def has_identity(columns: list[Column], changed: list[Column]) -> bool:
    """Whether one of the first columns is the same on both sides and has no value twice.

    Then no row can equal one in another place, and the rows belong together as they stand.
    """
    known = {key for key, _, _ in changed}
    for key, values, _ in columns[:MOST_COLUMNS_TRIED]:
        if key not in known:
            try:
                if len(set(values)) == len(values):
                    return True
            except TypeError:  # objects or lists: nothing to hash
                continue
    return False

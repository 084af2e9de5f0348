"""Lists of objects that all have the same keys, as tables: compared all at once. Pure.

Most lists in answers are such. Their values are compared at the speed of C; only what differs is
examined one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

MOST_COLUMNS_TRIED = 3
_flat, _values = chain.from_iterable, dict.values


class Grid(NamedTuple):
    """Rows with the same keys in the same order: all values of both sides, row after row."""

    keys: list[str]
    ours: list[Any]
    theirs: list[Any]

    def has_identity(self) -> bool:
        """Whether one of the first columns is the same on both sides and has no value twice.

        Then no row can equal one in another place, and the rows belong together as they stand.
        """
        width = len(self.keys)
        for column in range(min(width, MOST_COLUMNS_TRIED)):
            if _names_rows(self.ours[column::width], self.theirs[column::width]):
                return True
        return False


def grid_of(ours: Sequence[Any], theirs: Sequence[Any]) -> Grid | None:
    """Return rows as a grid, or None when they are not all objects with the same keys in order.

    Args:
        ours: The baseline's items, at least one, the first an object.
        theirs: As many of the candidate's, each where its partner stands.
    """
    try:
        keys = [*ours[0]]
        # No row can be longer and its neighbour shorter: a key stands in a row only once.
        if [*_flat(ours)] == keys * len(ours) == [*_flat(theirs)]:
            return Grid(keys, [*_flat(map(_values, ours))], [*_flat(map(_values, theirs))])
    except TypeError:  # not an object
        return None
    return None


def have_identity(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Whether two lists of objects are alike in one of the first keys, and no value comes twice.

    Then no item can equal one in another place, and they belong together as they stand. So does
    a single item, where the lists are equal everywhere else.
    """
    if not {*map(type, ours), *map(type, theirs)} <= {dict}:
        return False
    if len(ours) < 2:
        return True
    for key in islice(ours[0], MOST_COLUMNS_TRIED):
        value_of = itemgetter(key)
        try:
            if _names_rows([*map(value_of, ours)], [*map(value_of, theirs)]):
                return True
        except KeyError:  # not in all of them
            continue
    return False


def _names_rows(values: list[Any], others: list[Any]) -> bool:
    """Whether a column is the same on both sides and has no value twice."""
    try:
        return values == others and len({*values}) == len(values)
    except TypeError:  # objects or lists: nothing to hash
        return False

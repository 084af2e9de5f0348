"""What a comparison returns, and how similarity is defined. Pure.

Similarity lies in 0..1: 1 means that nothing differs beyond what the rules allow, 0 that the two
have nothing in common. A document weighs 1, and its weight is shared equally by the children of
its root, theirs by their children, and so on; children that only one side has count too (an
object with 4 keys on one side and one more on the other has 5 children of weight 1/5 each). So a
leaf's weight is the product of 1/n over the containers that it stands in. What differs loses its
weight: similarity = 1 - sum of the lost weights. A text under a rule with an error rate loses
min(1, error rate) of its weight when it is beyond the tolerance. Two values of different type lose
all their weight. Lists are paired first (see align.py); an item without partner is lost.

Source: the weighting is the mean overlap of the children, recursively; for sets without order it
is the Jaccard index of the items (Jaccard 1901).
"""

from __future__ import annotations

import math
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from changeover.comparison.json_text import number_text, shown

LONGEST_VALUE = 200
"""Characters of a value that a divergence shows."""


class Kind(StrEnum):
    """How two answers differ at a place."""

    ADDED = "added"  # only the candidate has it
    REMOVED = "removed"  # only the baseline has it
    CHANGED = "changed"
    TYPE = "type"
    ORDER = "order"  # the same items in another order, where order counts
    ERROR = "error"  # no answer, or one that cannot be read


MISSING: Final = type("Missing", (), {})()
"""Stands for a value that one side does not have."""


class Divergence(NamedTuple):
    """One place where the candidate's answer differs.

    `path` is the place in the baseline's document (`$.items[3].price`), for what was added the
    place in the candidate's; `field` is the same with `[*]` for indexes. `values` are the
    baseline's and the candidate's, whole; most are never read, so their texts are made when
    they are. `weight` is the lost share of similarity, 0..1.
    """

    path: str
    field: str
    kind: Kind
    values: tuple[Any, Any]
    weight: float

    @property
    def baseline(self) -> str | None:
        """The baseline's value as text, cut; None when it has none."""
        return self._text(0)

    @property
    def candidate(self) -> str | None:
        """The candidate's value as text, cut; None when it has none."""
        return self._text(1)

    def _text(self, side: int) -> str | None:
        value = self.values[side]
        if value is MISSING:
            return None
        return str(value) if self.kind is Kind.ERROR else show(value)


class Comparison(NamedTuple):
    """The verdict on one pair of answers.

    `ignored` are differences that a rule hides, whether it ignores the place or tolerates what
    stands there; `omitted` counts divergences beyond the limit.
    """

    similarity: float
    divergences: tuple[Divergence, ...] = ()
    ignored: tuple[Divergence, ...] = ()
    omitted: int = 0

    @property
    def is_match(self) -> bool:
        """Whether nothing differs beyond what the rules allow."""
        return not self.divergences

    @property
    def fields(self) -> frozenset[str]:
        """The normalised paths that differ."""
        return frozenset(divergence.field for divergence in self.divergences)


IDENTICAL = Comparison(1.0)
def show(value: Any) -> str:
    """Return a value as JSON text of at most `LONGEST_VALUE` characters."""
    kind = type(value)
    if kind is str:
        text = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
        is_plain = text.isprintable() and '"' not in text and "\\" not in text
        return f'"{text}"' if is_plain else shown(_quoted(text))
    if kind is float:
        return repr(value)
    if kind is Decimal:
        text = number_text(value)
    elif kind is int:
        text = repr(value)
    elif kind is dict:
        text = shown(f"{{{len(value)} keys: {', '.join(map(str, list(value)[:8]))}}}")
    elif kind is list:
        text = f"[{len(value)} items]"
    else:
        text = _CONSTANTS.get(value) or repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


_CONSTANTS = {None: "null", True: "true", False: "false"}


def _quoted(text: str) -> str:
    try:
        return orjson.dumps(text).decode()
    except TypeError:  # half of a surrogate pair
        return repr(text)


def similarity_of(losses: list[float]) -> float:
    """Return 1 - the sum of the losses; exact sums, so that the order of keys does not matter."""
    lost = math.fsum(losses)
    return 0.0 if lost >= 1 - 1e-9 else round(1 - lost, 9)

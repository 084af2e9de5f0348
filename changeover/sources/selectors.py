"""Which series a PromQL query reads, so that one can ask how old their newest sample is. Pure.

Prometheus shows the last sample of a series for five minutes, and `rate(x[1h])` of a series that
ended half an hour ago: a candidate that died with its exporter would look healthy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skipped>\s+|\#[^\n]*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<matchers>\{(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|[^{}"'`])*\})
    |(?P<range>\[[^\]]*\])
    |(?P<name>[A-Za-z_:][\w:]*)
    |(?P<number>\d[\w.]*)
    |(?P<other>.)""", re.X | re.S)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = _LISTS | frozenset({
    "and", "or", "unless", "atan2", "offset", "bool", "inf", "nan", "start", "end", "sum", "min",
    "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk",
    "quantile", "limitk", "limit_ratio",
})
MOST = 8
"""Series of one query whose age is looked at."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Series that a query reads, such as `up{job="shop"}`, and the range behind it: `[5m]`."""

    text: str
    range: str = ""

    @property
    def newest(self) -> str:
        """A query for when their newest sample was taken."""
        return f"max(timestamp({self.text}))"

    @property
    def newest_in_range(self) -> str | None:
        """The same for what has no sample of late, but in its range; None where it has none."""
        if not self.range:
            return None
        return f"max(max_over_time(timestamp({self.text})[{self.range[1:-1]}:15s]))"


def selectors(query: str) -> list[Selector]:
    """Return the series that a query reads as they are now; those of an earlier time are left out.

    Args:
        query: PromQL without placeholders.
    """
    tokens = [token for token in _TOKEN.finditer(query) if not token["skipped"]]
    return list(dict.fromkeys(_found(tokens)))[:MOST]


def _found(tokens: list[re.Match[str]]) -> Iterator[Selector]:
    index = 0
    while index < len(tokens):
        token, following = tokens[index], _text(tokens, index + 1)
        index += 1
        name = token["name"]
        if name and name.lower() in _LISTS and following == "(":
            while _text(tokens, index) not in (")", ""):  # labels are no series
                index += 1
            continue
        if not token["matchers"] and (not name or name.lower() in _WORDS or following == "("):
            continue
        text = token[0]
        if name and index < len(tokens) and tokens[index]["matchers"]:
            text += tokens[index][0]
            index += 1
        range_ = ""
        if index < len(tokens) and tokens[index]["range"]:
            range_ = tokens[index][0]
            index += 1
        # `[1h:5m]` is a range of values that are computed, each as of its time
        is_of_now = _text(tokens, index).lower() not in ("offset", "@")
        if is_of_now:
            yield Selector(text, "" if ":" in range_ else range_)


def _text(tokens: list[re.Match[str]], index: int) -> str:
    return tokens[index][0] if index < len(tokens) else ""

"""Latency histograms in Envoy's log-linear bins: 90 bins per decade, mergeable by addition. Pure.

A value v (microseconds) with 10^e <= v < 10^(e+1) falls into bin `90*e + floor(v / 10^(e-1)) - 10`,
so a bin is at most 10 % wide. Source: Circllhist, H. Hartmann and T. Schlossnagle,
"Circllhist: A Log-Linear Histogram Data Structure", 2020, arXiv:2001.06561, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BINS_PER_DECADE = 90


def bin_of(microseconds: int) -> int:
    """Return the bin of a duration in whole microseconds (values below 1 count as 1)."""
    value = max(1, microseconds)
    # Digits are counted, as a logarithm may round 999,999,999,999,999 up to the next decade.
    exponent = len(str(value)) - 1
    mantissa = value * 10 // 10**exponent
    return int(BINS_PER_DECADE * exponent + mantissa - 10)


def bounds_of(bin_index: int) -> tuple[float, float]:
    """Return [lower, upper) of a bin in microseconds."""
    exponent, step = divmod(bin_index, BINS_PER_DECADE)
    width = 10.0 ** (exponent - 1)
    return (step + 10) * width, (step + 11) * width


class _Bins(dict[str, int]):
    """Numbers of bins by their texts: hundreds are read with each row, and there are few."""

    def __missing__(self, text: str) -> int:
        self[text] = found = int(text)
        return found


_bins = _Bins()


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bin; immutable. `counts` maps bin index to the number of values in it."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, durations_us: Iterable[int]) -> Histogram:
        """Return the histogram of durations in microseconds."""
        counts: dict[int, int] = {}
        for duration in durations_us:
            index = bin_of(duration)
            counts[index] = counts.get(index, 0) + 1
        return cls(counts)

    @property
    def total(self) -> int:
        """Number of values."""
        return sum(self.counts.values())

    def mean_seconds(self) -> float | None:
        """Return the mean in seconds, each value taken as its bin's middle; None when empty.

        Off by at most half a bin's width, 5 % of the value.
        """
        total = self.total
        if total == 0:
            return None
        middles = (count * sum(bounds_of(index)) / 2 for index, count in self.counts.items())
        return math.fsum(middles) / total / 1e6

    def quantile_seconds(self, q: float) -> float | None:
        """Return the q-quantile (0..1) in seconds, interpolated inside its bin; None when empty.

        Off by at most the width of a bin, 10 % of the value.
        """
        total = self.total
        if total == 0:
            return None
        rank = max(1.0, math.ceil(q * total))
        seen = 0
        for index in sorted(self.counts):
            count = self.counts[index]
            if seen + count >= rank:
                lower, upper = bounds_of(index)
                return (lower + (upper - lower) * (rank - seen) / count) / 1e6
            seen += count
        raise AssertionError("unreachable: the counts add up to the total")

    def document(self) -> dict[str, int]:
        """Return what `of_document` reads, for JSON: `{"123": 4, ...}` sorted by bin."""
        return {str(index): self.counts[index] for index in sorted(self.counts)}

    @classmethod
    def of_document(cls, document: Mapping[str, int]) -> Histogram:
        """Return the histogram of a `document`."""
        return cls(dict(zip(map(_bins.__getitem__, document), document.values(), strict=True)))


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of histograms; exact, in any order."""
    counts: dict[int, int] = {}
    for histogram in histograms:
        for index, count in histogram.counts.items():
            counts[index] = counts.get(index, 0) + count
    return Histogram(counts)

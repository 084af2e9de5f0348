"""Which stored samples make up a span of time: hours where there are any, then minutes, seconds.

Pure. Every second is counted once, whatever was summed up and whatever was deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from changeover.analysis.window import Sample

SECOND, MINUTE, HOUR = 1, 60, 3600
SIZES = (HOUR, MINUTE, SECOND)
"""The lengths of samples, the longest first; each is a multiple of the next."""
MOST_GAPS = 24
"""More gaps than that are read at once with what lies between them: each is a query."""

Rows = Callable[[int, int, int], list[Sample]]
"""Returns the samples of a resolution that begin in [start, end), oldest first."""


def covering(read: Rows, span: range, sizes: Sequence[int] = SIZES) -> list[Sample]:
    """Return the samples that make up a span of Unix seconds, oldest first.

    Args:
        read: Reads the samples of one resolution.
        span: From when until when; of its edges only whole samples inside count.
        sizes: The lengths of samples that are looked for, the longest first.
    """
    size, finer = sizes[0], sizes[1:]
    if not finer:
        return read(size, span.start, span.stop)
    start, end = -(-span.start // size) * size, span.stop // size * size
    # a span shorter than two hours may hold no whole one
    found = read(size, start, end) if end > start else []
    if not found:
        return covering(read, span, finer)
    covered = {sample.at for sample in found}
    gaps = list(_gaps(sorted(covered), span, size))
    if len(gaps) > MOST_GAPS:
        # one query for all of them; what is covered is left out
        between = covering(read, range(gaps[0].start, gaps[-1].stop), finer)
        found += [each for each in between if each.at // size * size not in covered]
    else:
        for gap in gaps:
            found += covering(read, gap, finer)
    return sorted(found, key=lambda sample: sample.at)


def _gaps(covered: Sequence[int], span: range, size: int) -> Iterator[range]:
    """Yield the parts of a span that no sample of this length covers, in order."""
    until = span.start
    for at in covered:
        if at > until:
            yield range(until, at)
        until = at + size
    if until < span.stop:
        yield range(until, span.stop)

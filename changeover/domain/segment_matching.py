"""Which segments a request is in. Pure.

The gateway's matchers (`gateway.envoy.matching`) make the same tests, on the same texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from changeover.domain.buckets import BLANKS
from changeover.domain.user_keys import Values, cookie, parameter
from changeover.plan.segments import SegmentSpec, is_in

_UNSENDABLE = re.compile(rb"[\x00-\x1f\x7f]")


def segments_of(
    segments: Mapping[str, SegmentSpec], values: Values, path: bytes
) -> frozenset[str]:
    """Return the names of the segments that a request is in.

    Args:
        segments: The plan's.
        values: Returns the values of a header, named in lower case.
        path: The request's path with its query, as it was sent.
    """
    return frozenset(name for name, spec in segments.items()
                     if is_in(spec, texts_of(spec, values, path)))


def texts_of(spec: SegmentSpec, values: Values, path: bytes) -> list[str]:
    """Return the values of a request that a segment is about; none where it has none."""
    kind, name = spec.place
    if kind == "header":
        found = [value.strip(BLANKS.encode()) for value in values(name)]
    else:
        encoded = name.encode()
        only = cookie(values("cookie"), encoded) if kind == "cookie" else parameter(path, encoded)
        # the gateway's script hands it on in a header, which can have no such sign
        only = b"" if _UNSENDABLE.search(only) else only.strip(BLANKS.encode())
        found = [only] if only else []
    return [value.decode("utf-8", "surrogateescape") for value in found]

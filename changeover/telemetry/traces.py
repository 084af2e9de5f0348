"""Which trace a part of the work belongs to: known by every process from what is stored. Pure.

The ids are made from names and the hash of the audit's first event. So a process that takes up what
a killed one began continues its trace, and nothing has to be handed on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_TRACE_BYTES, _SPAN_BYTES = 16, 8


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace by its id and that of its root.

    Args:
        trace_id: 128 bits.
        span_id: 64 bits: the span under which everything else stands.
        follows: Another trace that this one is a part of, to be linked.
    """

    trace_id: int
    span_id: int
    follows: Trace | None = None

    @property
    def traceparent(self) -> str:
        """It as W3C Trace Context writes it, for headers and CloudEvents."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"


def trace_of(identity: str, *what: str | int, follows: Trace | None = None) -> Trace:
    """Return the trace of a piece of work.

    Args:
        identity: What tells this migration from those of the same name elsewhere.
        what: Names the work, as `rollback`, 3.
        follows: Another trace that it is a part of.
    """
    named = "/".join(("changeover", identity, *map(str, what)))
    digest = hashlib.sha256(named.encode()).digest()
    # neither may be 0, which W3C Trace Context calls invalid; of 2**64 digests one would be
    trace_id = int.from_bytes(digest[:_TRACE_BYTES], "big") or 1
    span_id = int.from_bytes(digest[_TRACE_BYTES:_TRACE_BYTES + _SPAN_BYTES], "big") or 1
    return Trace(trace_id, span_id, follows)

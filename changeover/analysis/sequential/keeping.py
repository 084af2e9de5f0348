"""A verdict's sums as bytes: it can be recomputed when slices were summed up or deleted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from changeover.analysis.sequential.buckets import Numbers
from changeover.analysis.sequential.counters import needed_of
from changeover.analysis.sequential.judging import StageSums
from changeover.analysis.sequential.slices import OF_OUTCOMES, Counter, Slice, pack, unpack
from changeover.analysis.sequential.slow import condition_of, is_timed
from changeover.domain.slices import SlowBound
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS, Source
from changeover.plan.subsets import counted_in

_PAST = "past"


def pack_stage(sums: StageSums, checks: Sequence[CheckSpec]) -> bytes:
    """Return the sums that some checks were judged by, compressed."""
    judged = [each for each in checks if not is_timed(each) or condition_of(each) in sums.bounds]
    names = {name for check in judged for name in needed_of(check, sums.bounds)}
    names.add(Counter.REQUESTS)  # whether the split came out as planned is asked of all users
    parts = {_PAST: sums.past, **{str(n): each for n, each in enumerate(sums.hours)}}
    return pack({
        f"{part} {name}": numbers
        for part, each in parts.items() for name, numbers in each.sums.items() if name in names
    })


def unpack_stage(content: bytes, document: Mapping[str, Any]) -> StageSums:
    """Return the sums that a check was judged by.

    Args:
        content: What `pack_stage` packed.
        document: The check's evidence as `CheckResult.as_evidence` gave it.

    Raises:
        ValueError: The bytes are damaged.
    """
    found = document["sequential"]
    parts: dict[str, dict[str, Numbers]] = {}
    for key, numbers in unpack(content).items():
        part, _, name = key.partition(" ")
        parts.setdefault(part, {})[name] = numbers
    start, end = (datetime.fromisoformat(document[f"window_{each}"]) for each in ("start", "end"))
    first, last = int(start.timestamp()), int(end.timestamp())
    hours = [Slice(found["weight"], first, last, parts.get(str(number), {}))
             for number in range(found["hours"])]
    if hours:  # how many were left out is known of the whole stage only
        subset = document.get("subset")
        of = OF_OUTCOMES if METRICS[document["metric"]].source is Source.OUTCOME else ""
        excluded = {counted_in(subset, of + reason): n for reason, n in found["excluded"].items()}
        hours[0] = Slice(found["weight"], first, last, hours[0].sums, excluded)
    past = Slice(0, found["past_start"], found["past_end"], parts.get(_PAST, {}))
    bounds = [SlowBound(**found["slow"])] if "slow" in found else []
    return StageSums(found["weight"], hours, past, start, end, found["checks"],
                     {bound.condition: bound for bound in bounds})

"""A verdict's sums as bytes: it can be recomputed when slices were summed up or deleted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from changeover.analysis.sequential.buckets import Numbers
from changeover.analysis.sequential.counters import needed_of
from changeover.analysis.sequential.slices import OF_OUTCOMES, Counter, Slice, pack, unpack
from changeover.analysis.sequential.slow import condition_of, is_timed
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.domain.slices import SlowBound
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS, Source
from changeover.plan.subsets import counted_in

_PAST, _STAGE = "past", "stage"


def pack_stage(sums: StageSums, checks: Sequence[CheckSpec]) -> bytes:
    """Return the sums that some checks were judged by, compressed."""
    judged = [each for each in checks if not is_timed(each) or condition_of(each) in sums.bounds]
    names = {name for check in judged for name in needed_of(check, sums.bounds)}
    names.add(Counter.REQUESTS)  # whether the split came out as planned is asked of all users
    # one flat mapping, since `pack` compresses equal bytes of all parts together
    content = {}
    for kind, slices in ((_PAST, [sums.past]), (_STAGE, sums.parts)):
        for number, each in enumerate(slices):
            # A part without requests is kept, too: evidence may begin with any.
            kept = {Counter.REQUESTS: each.counts(Counter.REQUESTS).requests, **each.sums}
            content.update({
                f"{kind} {number} {each.start} {each.end} {name}": found
                for name, found in kept.items() if name in names})
    return pack(content)


def unpack_stage(content: bytes, document: Mapping[str, Any]) -> StageSums:
    """Return the sums that a check was judged by.

    Args:
        content: What `pack_stage` packed.
        document: The check's evidence as `CheckResult.as_evidence` gave it.

    Raises:
        ValueError: The bytes are damaged.
    """
    found = document["sequential"]
    past, parts = _opened(content, found["weight"])
    if parts:  # how many were left out is known of the whole stage only
        subset = document.get("subset")
        of = OF_OUTCOMES if METRICS[document["metric"]].source is Source.OUTCOME else ""
        excluded = {counted_in(subset, of + reason): n for reason, n in found["excluded"].items()}
        parts[0] = replace(parts[0], excluded=excluded)
    start, end = (datetime.fromisoformat(document[f"window_{each}"]) for each in ("start", "end"))
    bounds = [SlowBound(**found["slow"])] if "slow" in found else []
    return StageSums(found["weight"], parts, past, start, end, found["checks"],
                     {bound.condition: bound for bound in bounds}, found["hours"])


def _opened(content: bytes, weight: int) -> tuple[Slice, list[Slice]]:
    """Return the past, and the stage's parts in the order of time."""
    sums: dict[tuple[str, int, int, int], dict[str, Numbers]] = {}
    for key, found in unpack(content).items():
        kind, number, first, last, name = key.split(" ", 4)
        sums.setdefault((kind, int(number), int(first), int(last)), {})[name] = found
    past: list[Slice] = []
    parts: list[Slice] = []
    # by their number, as they were: evidence begins with each of them
    for (kind, _, start, end), counted in sorted(sums.items(), key=lambda each: each[0]):
        if kind == _PAST:
            past.append(Slice(0, start, end, counted))
        else:
            parts.append(Slice(weight, start, end, counted))
    return past[0], parts

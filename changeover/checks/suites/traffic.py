"""Recorded traffic against both systems, as a check."""

from __future__ import annotations

import asyncio
from typing import Any

from changeover.checks.suites.result import CheckResult, Report, judged, unknown
from changeover.checks.suites.target import CheckTarget
from changeover.domain.comparisons import Compared
from changeover.plan.suites import ReplayCheck
from changeover.shadow import replay, scores
from changeover.store import comparisons

_SHOWN = 20


def check_replay(spec: ReplayCheck, target: CheckTarget, report: Report) -> CheckResult:
    """Send recorded requests to both systems; judge similarity and how many answers differ."""
    file = target.folder / spec.file
    recorded, skipped = replay.load(file, with_unsafe=spec.unsafe, hosts=spec.hosts)
    if not recorded:
        counts = [f"{number} {why}" for why, number in sorted(skipped.items())]
        what = f"{spec.file}: none of {skipped.total()} requests is replayed"
        return unknown(f"{what}: {', '.join(counts)}")
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report(done / len(recorded))

    replayed = replay.run(target.plan, recorded, concurrency=spec.concurrency, on_done=tick)
    batch, left_out = asyncio.run(replayed)
    if not batch:
        return unknown(f"{spec.file}: all {left_out.total()} answers are too large to compare")
    # In a store of its own: a replay must not change the scores of the users' own traffic.
    with replay.scratch_store(target.plan) as store:
        comparisons.write(store, target.plan.migration, batch, {"seen": len(recorded)})
        known = scores.collect(store, target.plan.migration)
    data = known.as_data()
    evidence = {
        "skipped": dict(skipped + left_out),
        "places": data["places"][:_SHOWN],
        "median_seconds": data["median_seconds"],
    }
    return _verdict(spec, batch, evidence)


def _verdict(spec: ReplayCheck, batch: list[Compared], evidence: dict[str, Any]) -> CheckResult:
    """Judge the pairs whose baseline answered; if it left out any, the result is no pass.

    A candidate that differs fails in any case.
    """
    compared = [one for one in batch if replay.has_baseline(one)]
    lost = len(batch) - len(compared)
    silent = f"the baseline gave no answer to {lost} of {len(batch)} requests"
    if not compared:
        return unknown(f"{silent}: there is nothing to compare with", **evidence)
    similarity = sum(one.similarity for one in compared) / len(compared)
    differing = sum(not one.is_match for one in compared)
    failed = sum(bool(one.error) for one in compared)
    summary = (
        f"{len(compared)} requests: similarity {similarity:.3%}, {differing} answers differ, "
        f"{failed} failed at the candidate")
    problems = []
    if similarity < spec.similarity:
        problems.append(f"{summary}; at least {spec.similarity:.3%} is wanted")
    if spec.divergence_rate is not None and differing / len(compared) > spec.divergence_rate:
        problems.append(f"{summary}; at most {spec.divergence_rate:.2%} may differ")
    evidence = {**evidence, "similarity": similarity, "differing": differing}
    if lost and not problems:
        return unknown(f"{silent}; of the others, {summary}", **evidence)
    return judged(problems, summary, **evidence)

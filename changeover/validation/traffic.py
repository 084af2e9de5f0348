"""Recorded traffic against both systems, as a check."""

from __future__ import annotations

import asyncio

from changeover.plan.suites import ReplayCheck
from changeover.shadow import findings, replay
from changeover.store import comparisons
from changeover.validation.outcome import Outcome, Report, Scene, judged, unknown

_SHOWN = 20


def check_replay(spec: ReplayCheck, scene: Scene, report: Report) -> Outcome:
    """Send recorded requests to both systems; judge similarity and how many answers differ."""
    recorded, skipped = replay.load(scene.folder / spec.file, with_unsafe=spec.unsafe)
    if not recorded:
        return unknown(f"{spec.file}: none of the {skipped} requests is safe to repeat")
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        report(done / len(recorded))

    batch = asyncio.run(replay.run(
        scene.plan, recorded, concurrency=spec.concurrency, on_done=tick))
    with replay.scratch_store(scene.plan) as store:
        comparisons.write(store, scene.plan.migration, batch, {"seen": len(recorded)})
        known = findings.collect(store, scene.plan.migration)
    similarity = sum(one.similarity for one in batch) / len(batch)
    differing = sum(not one.is_match for one in batch)
    told = (f"{len(batch)} requests: similarity {similarity:.3%}, {differing} answers differ, "
            f"{sum(bool(one.error) for one in batch)} failed at the candidate")
    problems = []
    if similarity < spec.similarity:
        problems.append(f"{told}; at least {spec.similarity:.3%} is wanted")
    if spec.divergence_rate is not None and differing / len(batch) > spec.divergence_rate:
        problems.append(f"{told}; at most {spec.divergence_rate:.2%} may differ")
    data = known.as_data()
    return judged(problems, told, similarity=similarity, differing=differing, skipped=skipped,
                  places=data["places"][:_SHOWN], median_seconds=data["median_seconds"])

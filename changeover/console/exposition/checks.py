"""How the checks of the present stage stand, what guardrails say, and how users are split."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from changeover.analysis.sequential.ratio import mismatch
from changeover.console.exposition.family import SYSTEM, Bound, Family, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.routing import BUCKETS, System
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec, OnFail
from changeover.plan.guardrails import GATE, Guardrail
from changeover.procedures.guardrail_evidence import user_groups
from changeover.site import status
from changeover.store import cutovers, verdicts

STANDS = {Verdict.PASS: 1.0, Verdict.INCONCLUSIVE: 0.0, Verdict.FAIL: -1.0}
SPLIT_SECONDS = 10
"""Whose users came is read from the sums of all buckets: not for each scrape."""
_LABELS = ("stage", "gate", "check", "metric", "subset", "on_fail")
_CHECK = Bound("check of the present stage", 500)
_OF_CHECKS = {
    "value": Family(
        "check_value", "What a check of the present stage measures, in base units.",
        _LABELS, _CHECK),
    "baseline_value": Family(
        "check_baseline_value", "What it measures of the baseline, in base units.",
        _LABELS, _CHECK),
    "samples": Family(
        "check_samples", "Samples that the value was measured in.", _LABELS, _CHECK),
    "standing": Family(
        "check_standing", "What it would say now: 1 would pass, 0 undecided, -1 would fail.",
        _LABELS, _CHECK),
    "log_worse": Family(
        "check_log_worse", "Natural logarithm of the evidence that harm is beyond the margin.",
        _LABELS, _CHECK),
    "log_better": Family(
        "check_log_better",
        "Natural logarithm of the evidence that harm beyond the margin is excluded.",
        _LABELS, _CHECK),
    "low": Family(
        "check_low",
        "Lower end of the interval (95 %) of the value; of the ratio or difference for a check "
        "against the baseline.", _LABELS, _CHECK),
    "high": Family("check_high", "Upper end of that interval.", _LABELS, _CHECK),
    "remaining": Family(
        "check_remaining_seconds",
        "Within which it is decided, 80 % of the time, at this traffic.", _LABELS, _CHECK),
}
BOUND = Family(
    "check_bound",
    "The bound of a check in base units, by its name in the plan; between has two.",
    (*_LABELS, "bound"), Bound("check of the present stage, two for between", 1000))
GUARDRAIL = Family(
    "guardrail",
    "What each guardrail said when the present stage was judged: 1 nothing seen, 0 too little "
    "data, -1 alarm.", ("guardrail",), Bound("guardrail", len(Guardrail)))
GROUPS = Family(
    "split_user_groups",
    "Groups of users (of 10,000) that came to a system in the present stage.", ("system",), SYSTEM)
EXPECTED = Family(
    "split_expected_ratio", "The candidate's share of them by the split, 0 to 1.")
MISMATCH = Family(
    "split_mismatch",
    "1 when other users came to the candidate than the split says (sample-ratio mismatch).")
FAMILIES = (*_OF_CHECKS.values(), BOUND, GUARDRAIL, GROUPS, EXPECTED, MISMATCH)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add how the checks of the present stage stand; what is old says nothing of now."""
    cutover = scene.running
    if cutover is None:
        return
    for gate in status.gates(scene.store, cutover, now=scene.now):
        if gate["is_old"]:
            continue
        # one metric may be checked twice, by a bound and against the baseline: so the number
        for number, check in enumerate(gate["checks"], start=1):
            labels = [gate["stage"], gate["gate"], str(number)]
            labels += [check["metric"], check.get("subset", "")]
            labels.append(check.get("on_fail", OnFail.ROLLBACK))
            for name, value in _numbers_of(check).items():
                scrape.add(_OF_CHECKS[name], value, *labels)
            for name, value in _bounds_of(check):
                scrape.add(BOUND, value, *labels, name)
    _add_guardrails(scene, scrape, cutover.id)
    _add_split(scene, scrape, cutover.id)


def _numbers_of(check: dict[str, Any]) -> dict[str, float | None]:
    """Return what is known of a check, by the names of `_OF_CHECKS`."""
    evidence = check.get("sequential") or {}
    interval = check.get("interval") or {}
    outlook = check.get("outlook") or {}
    return {
        "value": check["value"],
        "baseline_value": check.get("baseline_value"),
        "samples": check.get("samples"),
        "standing": STANDS[Verdict(check["verdict"])],
        "log_worse": evidence.get("log_worse"),
        "log_better": evidence.get("stage", {}).get("log_better"),
        "low": interval.get("low"),
        "high": interval.get("high"),
        "remaining": outlook.get("seconds"),
    }


def _bounds_of(check: dict[str, Any]) -> list[tuple[str, float]]:
    """Return (name, value) of a check's bound; nothing for one that an older version stored."""
    try:
        spec = CheckSpec.model_validate(check.get("check"))
    except ValidationError:
        return []
    return bounds(spec.bound_name, spec.bound_values)


def bounds(name: str, values: tuple[float, ...]) -> list[tuple[str, float]]:
    """Return the names and values of a condition's bound."""
    if len(values) == 2:
        return [("between_low", values[0]), ("between_high", values[1])]
    return [(name, values[0])]


def _add_guardrails(scene: Scene, scrape: Scrape, cutover_id: int) -> None:
    known = cutovers.stages(scene.store, cutover_id)
    if not known:
        return
    judged = verdicts.all_of(scene.store, cutover_id, known[-1].key)
    ours = [each for each in judged if each.gate == GATE]
    # judged again and again: the newest counts
    for check in ours[-1].evidence if ours else ():
        # its bound begins with its name: `guardrail split: …`
        name = check["bound"].removeprefix("guardrail ").partition(":")[0]
        scrape.add(GUARDRAIL, STANDS[Verdict(check["verdict"])], name)


def _add_split(scene: Scene, scrape: Scrape, cutover_id: int) -> None:
    known = cutovers.stages(scene.store, cutover_id)
    weight = scene.state.weight
    if not known or not 0 < weight < BUCKETS:
        return
    key = f"split {weight} {known[-1].key}"

    def count() -> tuple[int, int] | None:
        return user_groups(scene.site, known[-1].entered_at, scene.now)

    found = scene.kept(key, SPLIT_SECONDS, count)
    if found is None:
        return
    mine, everyone = found
    share = weight / BUCKETS
    scrape.add(EXPECTED, share)
    scrape.add(GROUPS, mine, str(System.CANDIDATE))
    scrape.add(GROUPS, everyone - mine, str(System.BASELINE))
    # without anybody nothing can be told
    if everyone:
        scrape.add(MISMATCH, mismatch(mine, everyone, share) is not None)

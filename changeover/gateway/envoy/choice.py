"""The choice between the systems, made and logged by Envoy. Pure.

Envoy hashes the key's header as it came, byte for byte, and chooses one of two clusters by it. The
name of that cluster says which system the request was *meant* for, whoever answered in the end, so
nobody computes the bucket again from what a log shows of the key. All names lead to the same two
systems: the stand-in for the candidate is an aggregate of the baseline's own cluster, with its
connections, limits and statistics.

    baseline                meant for the baseline
    candidate_or_baseline   meant for the candidate; the baseline while it is ejected
    baseline_instead        meant for the candidate; the baseline in its place (second attempt,
                            back-pressure)

Names that begin with `candidate_or_baseline` are of long connections (`streams`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from changeover.domain.routing import BUCKETS, System

Json = dict[str, Any]

KEPT = ":kept"
"""How routes' names end for users whose segment was rolled back: the split does not decide."""
_PART = "/"
BASELINE = "baseline"
CANDIDATE_FIRST = "candidate_or_baseline"
BASELINE_INSTEAD = "baseline_instead"
BEHIND: dict[str, list[str]] = {
    CANDIDATE_FIRST: ["candidate", BASELINE],
    BASELINE_INSTEAD: [BASELINE],
}
"""What the aggregate clusters are made of, in the order in which they are asked."""
MEANT = {
    BASELINE: System.BASELINE,
    CANDIDATE_FIRST: System.CANDIDATE,
    BASELINE_INSTEAD: System.CANDIDATE,
}
_PLUGIN = "priority_group.v3.PriorityGroupClusterSpecifier"


def of_part(name: str) -> str:
    """Return how routes' names go on for a named part of the traffic: `split:5000:safe/orders`."""
    return _PART + name


def part_of(route: str) -> str | None:
    """Return the named part of the traffic that an Envoy route is of; None for all else."""
    return route.partition(_PART)[2].partition(":")[0] or None


def meant(cluster: str) -> System | None:
    """Return the system that a request was meant for, by the cluster that Envoy chose."""
    return System.CANDIDATE if _is_candidate(cluster) else MEANT.get(cluster)


def specifier(target: str, weight: int, first: str = CANDIDATE_FIRST) -> Json:
    """Return who gets the first attempt and who the second.

    Both are drawn by the same hash, so the second one still says how the first one fell.

    Args:
        target: `baseline`, `candidate`, or `split` by the key.
        weight: Buckets of a split that go to the candidate, 0..10_000.
        first: The cluster for those who are meant for the candidate.
    """
    shares = {
        "baseline": {BASELINE: 1},
        "candidate": {first: 1},
        # Envoy fills the buckets in this order: the lowest ones are the candidate's everywhere.
        "split": {first: weight, BASELINE: BUCKETS - weight},
    }[target]
    # Envoy refuses a weight of 0.
    groups = [_weighted(name, share) for name, share in shares.items() if share]
    return {
        "extension": {
            "name": "envoy.router.cluster_specifier_plugin.priority_group",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.router.cluster_specifiers."
                + _PLUGIN,
                "priority_groups": [
                    {"name": "meant", "clusters": groups},
                    {"name": "safe", "clusters": _without_candidate(groups)},
                ],
                "use_hash_policy": target == "split",
            },
        }
    }


def without_candidate(plugin: Json) -> Json:
    """Return a specifier by which the baseline answers all, and still says who was meant."""
    extension = plugin["extension"]
    config = extension["typed_config"]
    groups = []
    for group in config["priority_groups"]:
        clusters = _without_candidate(group["clusters"])
        groups.append({**group, "clusters": clusters})
    changed = {**config, "priority_groups": groups}
    return {"extension": {**extension, "typed_config": changed}}


def names_candidate(plugin: Json) -> bool:
    """Whether a specifier may send a request to the candidate."""
    for group in plugin["extension"]["typed_config"]["priority_groups"]:
        for choice in group["clusters"]:
            if _is_candidate(choice["cluster_name"]):
                return True
    return False


def _without_candidate(choices: Iterable[Json]) -> list[Json]:
    changed = []
    for choice in choices:
        if _is_candidate(choice["cluster_name"]):
            # Its weight stays, so that the hash falls as before and says who was meant.
            choice = {**choice, "cluster_name": BASELINE_INSTEAD}
        changed.append(choice)
    return changed


def _is_candidate(cluster: str) -> bool:
    return cluster.startswith(CANDIDATE_FIRST)


def _weighted(cluster: str, weight: int) -> Json:
    return {"cluster_name": cluster, "weight": weight}

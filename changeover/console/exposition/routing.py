"""Where users are sent, and whether the gateway does so."""

from __future__ import annotations

from changeover.console.exposition.family import Bound, Family, Kind, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.routing import BUCKETS, Mode, RoutingState
from changeover.store import freezes, publications

MODE = Family(
    "mode", "1 for the present mode.", ("mode",), Bound("mode", len(Mode)))
CANDIDATE = Family("candidate_ratio", "Share of users on the candidate, 0 to 1.")
SHADOW = Family("shadow_ratio", "Share of requests that are copied to the candidate, 0 to 1.")
SEGMENT = Family(
    "segment_on_candidate", "1 when a segment is moved.", ("segment",),
    Bound("segment of the plan", 200))
MAINTENANCE = Family("maintenance", "1 while users get the maintenance answer.")
FROZEN = Family("frozen", "1 while a freeze keeps users from being moved to the candidate.")
VERSION = Family("routing_version", "Version of the routing state.")
EPOCH = Family("routing_epoch", "Epoch of the routing state: how many rollbacks there were.")
IN_SYNC = Family("gateway_in_sync", "1 when the gateway serves the present routing state.")
PUBLISH = Family(
    "publish_duration_seconds",
    "From a decision to its confirmation by the gateway, attempts that failed included.",
    kind=Kind.HISTOGRAM)
FAILURES = Family(
    "publish_failures", "Decisions that the gateway did not confirm; the same failure counts once.",
    kind=Kind.COUNTER)
NEWEST_SECONDS = Family(
    "publish_newest_duration_seconds", "How long the newest attempt to publish took.")
NEWEST_CONFIRMED = Family(
    "publish_newest_confirmed", "1 when the gateway confirmed the newest attempt to publish.")
FAMILIES = (
    MODE, CANDIDATE, SHADOW, SEGMENT, MAINTENANCE, FROZEN, VERSION, EPOCH, IN_SYNC, PUBLISH,
    FAILURES, NEWEST_SECONDS, NEWEST_CONFIRMED,
)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add the routing state and how the gateway follows it."""
    state, site = scene.state, scene.site
    scrape.add_state(MODE, map(str, Mode), str(state.mode))
    for name in site.plan.routing.segments:
        scrape.add(SEGMENT, name in state.segments, name)
    scrape.add(CANDIDATE, state.weight / BUCKETS)
    scrape.add(SHADOW, _copied(scene, state) / BUCKETS)
    scrape.add(MAINTENANCE, state.maintenance)
    freeze = freezes.active(scene.store, scene.migration, now=scene.now)
    scrape.add(FROZEN, freeze is not None)
    scrape.add(VERSION, state.version)
    scrape.add(EPOCH, state.epoch)
    scrape.add(IN_SYNC, site.gateway.serving(state).is_current)
    scrape.add_buckets(PUBLISH, scene.counters.published())
    scrape.add(FAILURES, scene.counters.publish_failures)
    newest = publications.latest(scene.store, scene.migration)
    if newest is not None:
        scrape.add(NEWEST_SECONDS, newest.seconds)
        scrape.add(NEWEST_CONFIRMED, newest.is_confirmed)


def _copied(scene: Scene, state: RoutingState) -> int:
    # a mode may copy, but a plan without shadow has nothing to copy to
    if scene.site.plan.shadow is None:
        return 0
    return state.copied

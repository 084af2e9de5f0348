"""What runs: services' signs of life, the way back, the exposition itself."""

from __future__ import annotations

from changeover import __version__
from changeover.console.exposition.family import LEFT_OUT, Bound, Family, Kind, Scrape
from changeover.console.exposition.scene import Scene
from changeover.domain.capacity import Fit
from changeover.domain.crew import Crew
from changeover.domain.relays import in_force
from changeover.site import capacity_status
from changeover.store import heartbeats, relays

ROOM_SECONDS = 30
"""What the baseline bears is read from a month of minutes: not for each scrape."""

BUILD = Family(
    "build_info", "1; the version of Changeover that answers.", ("version",),
    Bound("version that answers", 1))
SYSTEMS = Family(
    "migration_info", "1; what the two systems are called.", ("baseline", "candidate"),
    Bound("migration", 1))
MADE = Family(
    "exposition_timestamp_seconds", "When this text was made, as Unix time.")
TOOK = Family("exposition_duration_seconds", "How long the one before it took to make.")
AGE = Family(
    "service_age_seconds", "Since a service's last sign of life.", ("service",),
    Bound("service", 20))
WAY_BACK = Family(
    "way_back",
    "1 for whether a rollback would fit, while a lever has made the baseline smaller.", ("fit",),
    Bound("answer", len(Fit)))
CAPACITY = Family(
    "way_back_capacity_requests_per_second", "What the baseline bears then; absent if not known.")
ARRIVING = Family(
    "way_back_arriving_requests_per_second",
    "What arrives at both systems in the busiest minute of late, then.")
COMPARING = Family(
    "shadow_processes",
    "Processes that compare for a shadow service, where there are several: at work, wanted.",
    ("service", "state"), Bound("shadow service, at work or wanted", 64))
_RECEIVER = Bound("webhook of the plan, and Prefect", 50)
UNTOLD = Family(
    "receiver_waiting_events", "Events of the audit that Prefect or a webhook does not have yet.",
    ("receiver",), _RECEIVER)
FAILING = Family(
    "receiver_failing_seconds", "Since when it has taken no event; 0 while it takes them.",
    ("receiver",), _RECEIVER)
GIVEN_UP = Family(
    "receiver_given_up_events", "Events that were given up for it.", ("receiver",), _RECEIVER,
    Kind.COUNTER)
FAMILIES = (
    BUILD, SYSTEMS, MADE, TOOK, AGE, COMPARING, WAY_BACK, CAPACITY, ARRIVING, UNTOLD, FAILING,
    GIVEN_UP, LEFT_OUT,
)


def collect(scene: Scene, scrape: Scrape) -> None:
    """Add signs of life, versions, and whether a rollback would fit."""
    scrape.add(BUILD, 1.0, __version__)
    scrape.add(MADE, scene.now.timestamp())
    scrape.add(TOOK, scene.took)
    systems = scene.site.plan.systems
    scrape.add(SYSTEMS, 1.0, systems.baseline.name, systems.candidate.name)
    for beat in heartbeats.of(scene.store, scene.migration):
        silent = (scene.now - beat.at).total_seconds()
        scrape.add(AGE, max(0.0, silent), beat.service)
        crew = Crew.of(beat.detail)
        if crew is not None:
            scrape.add(COMPARING, crew.at_work, beat.service, "at_work")
            scrape.add(COMPARING, crew.wanted, beat.service, "wanted")
    _add_way_back(scene, scrape)
    _add_receivers(scene, scrape)


def _add_receivers(scene: Scene, scrape: Scrape) -> None:
    """Add how far everybody has come who is told of decisions."""
    head = relays.head_seq(scene.store, scene.migration)
    known = relays.all_of(scene.store, scene.migration)
    for relay in in_force(known, scene.site.plan):
        failing = 0.0
        if relay.failing_since is not None:
            failing = max(0.0, (scene.now - relay.failing_since).total_seconds())
        scrape.add(UNTOLD, max(0, head - relay.seq), relay.target)
        scrape.add(FAILING, failing, relay.target)
        scrape.add(GIVEN_UP, relay.given_up, relay.target)


def _add_way_back(scene: Scene, scrape: Scrape) -> None:
    site, now = scene.site, scene.now

    def judged() -> dict[str, object] | None:
        return capacity_status.collect(site.store, site.plan, now=now)

    room = scene.kept("way back", ROOM_SECONDS, judged)
    # nothing has made the baseline smaller: there is nothing to say
    if room is None:
        return
    scrape.add_state(WAY_BACK, map(str, Fit), str(room["fit"]))
    for family, name in ((CAPACITY, "capacity_per_second"), (ARRIVING, "arriving_per_second")):
        value = room[name]
        if isinstance(value, int | float):
            scrape.add(family, float(value))

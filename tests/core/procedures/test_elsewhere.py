"""What a flow on another machine than the gateway's leaves to others, and how it says so."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from changeover import clock
from changeover.backup.from_plan import place_of
from changeover.domain.audit import Author
from changeover.domain.gateway_nodes import NodeState
from changeover.domain.rollbacks import Cause, Rollback, RollbackSeverity
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.errors import ChangeoverError, PublishFailed, Refused, Unreachable
from changeover.gateway.absent import AbsentGateway
from changeover.gateway.protocol import Answer
from changeover.observer.throttle import LogOnce
from changeover.observer.traffic import Traffic
from changeover.plan.procedures import BackupSpec, PreconditionsSpec
from changeover.procedures import (
    by_hand,
    fleet,
    going_back,
    main_files,
    preconditions,
    preparation,
    retirement_note,
    rollback,
    traffic,
)
from changeover.procedures.rollback_analysis import LOG_ELSEWHERE, _parts
from changeover.procedures.rollback_steps import quarantine_files
from changeover.site.elsewhere import Away
from changeover.site.site import Site
from changeover.store import gateway_nodes, main_gateways, messages, routing
from changeover.store.gateway_nodes import Identity, Sign
from changeover.store.main_gateways import MainGatewayRow, MainSign
from tests.core.procedures.conftest import begun
from tests.integration.conftest import make_plan
from tests.support.processes import free_port, meanwhile, wait_for
from tests.support.stuck_store import StuckStore


@pytest.fixture
def away(site: Site, tmp_path: Path) -> Site:
    """The same migration on another machine."""
    home = Away(tmp_path / "scratch", site.store, site.migration)
    home.root.mkdir()
    return Site(home, site.plan, site.store, AbsentGateway(
        home.gateway_files, site.store, site.migration))


def main_serves(site: Site, state: RoutingState) -> None:
    main_gateways.sign(site.store, site.migration, MainSign("http://main", state.order))


def test_a_rollback_from_elsewhere_is_later_than_what_gateways_serve(away: Site) -> None:
    """As after the store was restored: no gateway goes back to an older version."""
    state = routing.read(away.store, away.migration)
    main_serves(away, replace(state, epoch=3, version=40))
    who = gateway_nodes.join(away.store, Identity(away.migration, "edge-1", "home", ""))
    gateway_nodes.sign(away.store, who, Sign(NodeState.READY, (4, 41), 0))
    assert rollback.start(away, Cause("ana", "wrong sums")).state.order == (5, 42)


def test_a_publication_that_no_gateway_can_confirm_fails_and_says_why(away: Site) -> None:
    """There is none here, and none was ever heard of."""
    state = routing.read(away.store, away.migration)
    with pytest.raises(PublishFailed, match="no gateway confirmed it: none was ever heard of"):
        traffic.publish(away, state)
    assert away.gateway.serving(state).answer is Answer.SILENT
    assert fleet.measured_until(away) == {"any gateway": None}


def test_the_main_gateways_word_confirms_a_publication_elsewhere(site: Site, away: Site) -> None:
    """On its own machine nobody reads it."""
    state = routing.read(away.store, away.migration)
    main_serves(away, state)
    assert fleet.confirm(away, state) == "1 of 1 gateways confirmed"
    assert fleet.confirm(site, state) == ""
    assert away.gateway.serving(state).is_current
    assert not fleet.main_lags(away, state)


def test_people_who_move_users_are_told_of_gateways_that_nobody_waits_for(away: Site) -> None:
    """The command succeeds by those that live; at the others users may be where they were."""
    edge = gateway_nodes.join(away.store, Identity(away.migration, "edge-1", "home", ""))
    gateway_nodes.sign(away.store, edge, Sign(NodeState.READY, (9, 9), 0))
    by, change = Author("test", "test"), Change(mode=Mode.PARALLEL, is_by_person=True)
    assert by_hand.moved(away, change, by).notes == ()
    main_serves(away, RoutingState(away.migration))
    with away.store.begin() as session:
        session.execute(update(MainGatewayRow).values(seen=clock.now() - timedelta(minutes=1)))
    gateway_nodes.sign(away.store, edge, Sign(NodeState.READY, (9, 9), 0))
    done = by_hand.moved(away, Change(mode=Mode.BASELINE_ONLY), by)
    assert "note: not waited for: the main gateway not heard of since" in done.lines
    assert done.data["notes"] == list(done.notes)

    def follow(is_over: threading.Event) -> None:
        while not is_over.wait(0.02):
            served = routing.read(away.store, away.migration).order
            gateway_nodes.sign(away.store, edge, Sign(NodeState.READY, served, 0))

    with meanwhile(follow):
        back = going_back.at_once(away, Cause("test", "wrong sums"))
    assert "not waited for: the main gateway not heard of since" in back.lines


def test_a_spare_tells_of_the_main_gateway_also_after_a_slow_store(
    away: Site,
) -> None:
    """Nobody waits for it any more, and the state is changed all the same."""
    state = routing.change(
        away.store, away.migration, Change(mode=Mode.PARALLEL, is_by_person=True),
        Author("test", "test"), now=clock.now())
    main_serves(away, state)
    stuck = StuckStore(away.store)
    spare = Traffic(Site(away.home, away.plan, stuck, away.gateway), LogOnce(), lambda: None)
    spare.update(state)
    with pytest.raises(Unreachable):
        spare.roll_back("wrong sums")
    stuck.answers.set()

    def is_told() -> bool:
        spare.save()
        return any("the main machine's gateway did not follow" in each.title
                   for each in messages.newest(away.store, away.migration))

    wait_for(is_told, what="people are told")
    assert routing.read(away.store, away.migration).mode is Mode.EMERGENCY_ROLLBACK


def test_a_backup_into_the_main_machines_home_is_refused_before_anybody_moves(away: Site) -> None:
    """Kept in a folder for temporary files it would be no backup."""
    cutover = away.plan.cutover.model_copy(update={
        "backup": BackupSpec(), "preconditions": PreconditionsSpec.model_validate({})})
    away.plan = away.plan.model_copy(update={"cutover": cutover})
    run = begun(away)
    with pytest.raises(Refused, match="no backup is made on this machine"):
        preconditions.check(run, None)
    with pytest.raises(Refused, match="no backup is made on this machine"):
        preparation.back_up(run, lambda _items: lambda _progress: None)


def test_a_backup_elsewhere_goes_to_an_address(away: Site) -> None:
    """A worker without a home needs nothing else; the step says where it is."""
    folder = f"memory://elsewhere-{away.home.root.parent.name}"
    backs_up_to(away, folder)
    run = begun(away)
    preconditions.check(run, None)
    assert preparation.back_up(run, lambda _items: lambda _progress: None) == (
        f"{folder}/{away.migration}-{run.subject}")
    assert [each.name for each in place_of(away).every()] == [f"{away.migration}-{run.subject}"]


def test_a_cutover_whose_backup_has_no_place_does_not_begin(away: Site) -> None:
    """It is known before anything is backed up, whatever else the plan wants."""
    backs_up_to(away, f"ftp://127.0.0.1:{free_port()}/x")
    with pytest.raises(Refused, match="no backup can be written: ftp://127"):
        preconditions.check(begun(away), None)


def test_a_package_that_a_backups_address_needs_is_named_once(away: Site) -> None:
    """By the plan's key."""
    backs_up_to(away, "smb://files/x")
    with pytest.raises(Refused, match=r"cutover\.backup\.target: smb:// needs") as refused:
        preconditions.check(begun(away), None)
    assert str(refused.value).count("smb://") == 1


def backs_up_to(site: Site, target: str) -> None:
    """Give a plan a place for backups."""
    spec = BackupSpec(target=target, store=False)
    cutover = site.plan.cutover.model_copy(update={"backup": spec})
    site.plan = site.plan.model_copy(update={"cutover": cutover})


def test_a_clean_up_of_folders_that_are_not_here_is_no_clean_up(away: Site) -> None:
    """It would have said that nothing was found."""
    rollback = away.plan.rollback.model_copy(update={"cleanup": ["*.tmp"], "roots": ["work"]})
    away.plan = away.plan.model_copy(update={"rollback": rollback})
    with pytest.raises(ChangeoverError, match="nothing was cleaned up") as refused:
        quarantine_files(away, "rollback-1")
    assert "changeover cleanup --yes" in str(refused.value)


def following(site: Site) -> main_files.MainFiles:
    """Return the main machine's files as its observer keeps them."""
    # as the observer does at its start
    site.home.gateway_files.root.mkdir(parents=True, exist_ok=True)
    return main_files.MainFiles(site)


def test_the_main_machine_writes_the_script_that_a_flow_elsewhere_could_not(
    site: Site, away: Site
) -> None:
    """The step says who does; the files are beside the main gateway, once."""
    main_serves(away, RoutingState(away.migration))
    run = begun(away)
    said = preparation.write_way_back(run)
    assert said.startswith("the observer of `changeover up` writes rollback.sh on its machine")
    preparation.renew_way_back(run, ["lever"])
    files = following(site)
    files.follow()
    script = site.home.root / "rollback" / run.subject / "rollback.sh"
    assert script.exists()
    script.unlink()
    files.follow()
    assert not script.exists()  # nothing changed since


def test_a_machine_that_is_set_up_anew_is_told_whether_the_baseline_was_retired(
    site: Site, away: Site
) -> None:
    """Until its observer has asked the store, a missing note says nothing."""
    files = site.home.gateway_files
    assert not retirement_note.is_known(files)
    following(site).follow()
    assert retirement_note.is_known(files) and not files.retired.exists()
    begun(away)
    files.retired_known.unlink()
    following(site).follow()
    assert retirement_note.is_known(files)


def test_a_flow_on_the_main_machine_leaves_nothing_to_its_observer(site: Site) -> None:
    """It has written the script itself."""
    run = begun(site)
    preparation.write_way_back(run)
    script = site.home.root / "rollback" / run.subject / "rollback.sh"
    script.unlink()
    following(site).follow()
    assert not script.exists()


def test_the_analysis_elsewhere_says_that_the_candidates_log_was_not_read(away: Site) -> None:
    """An empty list would say that there were no errors."""
    main_serves(away, RoutingState(away.migration))
    record = Rollback(
        away.migration, epoch=0, reason="test", severity=RollbackSeverity.MEDIUM, scope="all",
        actor="test", started_at=clock.now())
    parts = _parts(away, record)
    assert parts["error_log"]() == [LOG_ELSEWHERE]
    assert "machine" not in parts


def test_a_cutover_does_not_begin_when_nobody_would_do_what_its_plan_wants(
    site: Site, away: Site
) -> None:
    """Back-pressure and steady load are done beside a main gateway: where there is none, said."""
    stages = [{"percent": 50, "soak": 0, "hooks": {"during": [{"load": "quick"}]}}]
    away.plan = make_plan(
        suites={"quick": [{"kind": "load", "paths": ["/"], "rates": [1], "each": "1s"}]},
        health={"back_pressure": {"of": "candidate", "path": "/", "slow": "1s", "frozen": "2s"}},
        phases=[{"phase": "gradual", "stages": stages}])
    with pytest.raises(Refused) as refused:
        preconditions.check(begun(away), None)
    for what in ("back-pressure (`health.back_pressure`)", "steady load (`hooks.during`)"):
        assert f"nobody does the plan's {what}: start `changeover up`" in str(refused.value)
    main_serves(site, routing.read(site.store, site.migration))
    with away.store.begin() as session:
        session.execute(update(MainGatewayRow).values(seen=clock.now() - timedelta(minutes=1)))
    with pytest.raises(Refused, match="nobody does the plan's back-pressure"):
        preconditions.check(begun(away), None)
    main_serves(site, routing.read(site.store, site.migration))
    preconditions.check(begun(away), None)

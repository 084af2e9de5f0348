"""What a flow on another machine than the gateway's leaves to others, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.domain.routing import RoutingState
from changeover.errors import ChangeoverError, PublishFailed, Refused
from changeover.gateway.absent import AbsentGateway
from changeover.gateway.protocol import Answer
from changeover.plan.procedures import BackupSpec, PreconditionsSpec
from changeover.procedures import (
    fleet,
    main_files,
    preconditions,
    preparation,
    retirement_note,
    traffic,
)
from changeover.procedures.rollback_analysis import LOG_ELSEWHERE, _parts
from changeover.procedures.rollback_steps import quarantine_files
from changeover.site.elsewhere import Away
from changeover.site.site import Site
from changeover.store import main_gateways, routing
from changeover.store.main_gateways import MainSign
from tests.core.procedures.conftest import begun


@pytest.fixture
def away(site: Site, tmp_path: Path) -> Site:
    """The same migration on another machine."""
    home = Away(tmp_path / "scratch", site.store, site.migration)
    home.root.mkdir()
    return Site(home, site.plan, site.store, AbsentGateway(
        home.gateway_files, site.store, site.migration))


def main_serves(site: Site, state: RoutingState) -> None:
    main_gateways.sign(site.store, site.migration, MainSign("http://main", state.order))


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

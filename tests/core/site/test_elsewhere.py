"""Which machine is that of `changeover up`, and what a flow on another one knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover import clock
from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.site.elsewhere import Away, is_home_here, site_of
from changeover.site.home import STORE_VARIABLE, Home
from changeover.site.site import Site
from changeover.store import identity, main_gateways, plans
from changeover.store.engine import Store
from changeover.store.main_gateways import MainSign
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def home_of(folder: Path, migration: str, **more: str) -> str:
    home = Home(folder)
    home.create()
    home.save_settings({"migration": migration, "api_url": "http://127.0.0.1:4200/api", **more})
    return str(folder)


def test_a_home_of_this_migration_is_here(tmp_path: Path, store: Store) -> None:
    """Then the flow writes the gateway's files, as ever."""
    home = home_of(tmp_path / "home", "bench")
    site = site_of(home, make_plan(), store, patience=1)
    assert not site.is_elsewhere
    assert site.home.root == tmp_path / "home"


@pytest.mark.parametrize("migration", ["", "another"])
def test_the_same_path_on_another_machine_is_no_home_of_it(tmp_path: Path, migration: str) -> None:
    """It may be missing there, or be the home of what that machine does."""
    folder = tmp_path / "home"
    if migration:
        home_of(folder, migration)
    assert not is_home_here(str(folder), "bench", "a1b2c3d4")


def test_a_home_of_another_database_is_no_home_of_it(tmp_path: Path, store: Store) -> None:
    """Its migration may have the same name: the flow would write the other one's routes."""
    others = home_of(tmp_path / "others", "bench", store_id="a1b2c3d4")
    own = home_of(tmp_path / "own", "bench", store_id=identity.of(store))
    with pytest.raises(InvalidInput, match="is not here"):
        site_of(others, make_plan(), store, patience=1)
    assert not site_of(own, make_plan(), store, patience=1).is_elsewhere


def test_a_home_is_opened_with_its_own_database_only(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of another one would move that one's users by this home's gateway."""
    plans.register(store, make_plan(), source="test", now=clock.now())
    own = Path(home_of(tmp_path / "own", "bench", store_id=identity.of(store)))
    others = Path(home_of(tmp_path / "others", "bench", store_id="a1b2c3d4"))
    old = Path(home_of(tmp_path / "old", "bench"))
    monkeypatch.setenv(STORE_VARIABLE, f"sqlite:///{tmp_path / 'store.db'}")
    assert Site.open(own).migration == Site.open(old).migration == "bench"
    with pytest.raises(InvalidInput, match="the database is not that of this home") as refused:
        Site.open(others)
    assert STORE_VARIABLE in str(refused.value)


def test_one_machine_whose_home_is_missing_is_told_what_another_one_needs(
    tmp_path: Path, store: Store
) -> None:
    """SQLite is for one machine: a flow would work on a database of its own."""
    with pytest.raises(InvalidInput, match="CHANGEOVER_STORE_URL"):
        site_of(str(tmp_path / "gone"), make_plan(), store, patience=1)


def test_elsewhere_addresses_are_the_environments_then_the_main_machines(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's server may have another address inside a cluster than people use."""
    main_gateways.sign(store, "bench", MainSign("", None, "", {
        "ui_url": "http://prefect.example", "console_url": "http://console.example",
        "reports_url": "http://reports.example"}))
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.svc:4200/api")
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    found = Away(tmp_path, store, "bench").settings()
    assert found["api_url"] == "http://prefect.svc:4200/api"
    assert found["ui_url"] == "http://prefect.example"
    assert found["console_url"] == "http://console.example"
    assert found["reports_url"] == "http://console.example/reports"
    assert "processes" not in found
    alone = Away(tmp_path, store, "other").settings()
    assert alone["ui_url"] == "http://prefect.svc:4200"


def test_temporary_files_are_not_kept_in_a_folder_that_somebody_else_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's folder for them is everybody's."""
    from changeover.site.elsewhere import scratch

    (tmp_path / "theirs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    monkeypatch.setenv("CHANGEOVER_SCRATCH", str(tmp_path / "link"))
    with pytest.raises(EnvironmentProblem, match="belongs to somebody else"):
        scratch()

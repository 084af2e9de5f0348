"""Which machine is that of `changeover up`, and what a flow on another one knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.site.elsewhere import Away, is_home_here, site_of
from changeover.site.home import Home
from changeover.store import main_gateways
from changeover.store.engine import Store
from changeover.store.main_gateways import MainSign
from tests.integration.conftest import make_plan


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}", create=True)
    yield opened
    opened.close()


def home_of(folder: Path, migration: str) -> str:
    home = Home(folder)
    home.create()
    home.save_settings({"migration": migration, "api_url": "http://127.0.0.1:4200/api"})
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
    assert not is_home_here(str(folder), "bench")


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

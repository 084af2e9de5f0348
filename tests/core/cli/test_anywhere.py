"""When a command works by the store's address alone: never in place of a home that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.cli import anywhere
from changeover.cli.common import Session
from changeover.site.home import STORE_VARIABLE, Home
from tests.support.commands import plain

URL = "postgresql+psycopg://db.example/changeover"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows the database and has no home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHANGEOVER_HOME", raising=False)
    monkeypatch.setenv(STORE_VARIABLE, URL)
    return tmp_path


def test_the_variable_is_enough_where_there_is_no_home() -> None:
    """A person's own machine, a job of a pipeline."""
    assert anywhere.store_url(Session()) == URL
    assert anywhere.store_url(Session(store_url="postgresql://other/db")) == "postgresql://other/db"


def test_a_home_comes_first(elsewhere: Path) -> None:
    """Its gateway is brought there at once, which the store alone cannot do."""
    home = Home(elsewhere / ".changeover")
    home.create()
    home.save_settings({"migration": "shop"})
    assert anywhere.store_url(Session()) == ""


def test_a_home_that_is_named_and_is_none_is_told(elsewhere: Path) -> None:
    """Whoever named it means what is there, and not another place."""
    said = plain("status", "--home", str(elsewhere / "typo"), code=2)
    assert "typo" in said


@pytest.mark.parametrize("command", [
    ["status"], ["advance"], ["rollback", "--reason", "wrong sums"],
    ["forget-gateway", "edge-1", "--reason", "burnt"]], ids=lambda command: command[0])
def test_sqlite_is_for_one_machine(command: list[str]) -> None:
    """Its file may be here; its gateway is not."""
    said = plain(*command, "--store", "sqlite:///shop.db", code=2)
    assert "another machine needs a database that it reaches" in said


def test_an_empty_home_of_the_environment_gives_way(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image names one for all of its programs, also where nothing was started with it."""
    monkeypatch.setenv("CHANGEOVER_HOME", str(elsewhere / "home"))
    monkeypatch.setenv(STORE_VARIABLE, "sqlite:///shop.db")
    assert "another machine needs a database that it reaches" in plain("status", code=2)
    said = plain("status", "--home", str(elsewhere / "home"), code=2)
    assert "nothing has been started with this home directory" in said
    assert "--store URL" in said


def test_a_home_of_the_environment_that_is_one_comes_first(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is the address of its database then."""
    home = Home(elsewhere / "home")
    home.create()
    home.save_settings({"migration": "shop"})
    monkeypatch.setenv("CHANGEOVER_HOME", str(home.root))
    assert anywhere.store_url(Session(home=home.root)) == ""


@pytest.mark.parametrize("url", [
    "postgresql+psycopg://me:s3@x:cr/et@db.example/shop", "postgresql+nothing://me:s3cret@db/shop",
    "s3cret"])
def test_an_address_that_is_none_is_told_without_its_password(
    url: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the option and by the variable; also where the store itself is opened."""
    monkeypatch.setenv(STORE_VARIABLE, url)
    for said in (plain("status", code=2), plain("status", "--store", url, code=2),
                 plain("store", "upgrade", "--home", str(elsewhere), code=5)):
        assert "unknown driver" in said and "%2F" in said
        assert "s3" not in said and "cr/et" not in said and "Traceback" not in said

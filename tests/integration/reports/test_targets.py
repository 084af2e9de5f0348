"""Reports at the plan's target: a folder, an address, a real FTP server, and none that answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from os import mkfifo
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from changeover import clock
from changeover.errors import EnvironmentProblem, Unreachable
from changeover.machine.remote_files import RemoteFiles, problem_of
from changeover.procedures import sharing
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import messages, plans, shared_files
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.ftp import PASSWORD, USERS, Ftp, serving
from tests.support.processes import free_port
from tests.support.ready_store import ready_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield found
    found.close()


def site_with(store: Store, tmp_path: Path, target: str, within: str = "2m") -> Site:
    """Return a migration whose plan has a target, on some machine with a home."""
    plan = make_plan(
        notify=[{"env": "NOBODY_IS_TOLD"}], reports={"target": target, "within": within})
    plans.register(store, plan, source="test", now=clock.now())
    return Site(Home(tmp_path / "home"), plan, store)


REPORT = {"bench-cutover-1.html": "<!doctype html>é", "bench-cutover-1.json": b"{}",
          "rollback/bench-cutover-1/rollback.sh": b"#!/bin/sh\n"}


def kept(site: Site) -> dict[str, str]:
    """Return the files of the store with why they were not copied; `there` when they were."""
    assert site.plan.reports is not None
    place = sharing.place_of(site)
    return {each.name: "there" if each.is_at(place) else each.problem
            for each in shared_files.every(site.store, site.migration)}


@pytest.mark.parametrize("target", ["mine", "file://{}/mine", "memory://mine-{}"])
def test_reports_lie_at_the_target_as_they_were_rendered(
    store: Store, tmp_path: Path, target: str
) -> None:
    """A folder, relative to the home, or an address; twice is as once."""
    site = site_with(store, tmp_path, target.format(tmp_path))
    for _ in range(2):
        assert sharing.share(site, REPORT) == ""
        assert set(kept(site).values()) == {"there"}
    place = sharing.place_of(site)
    fs, root = fsspec.core.url_to_fs(place)
    assert fs.cat_file(f"{root}/bench-cutover-1.html") == "<!doctype html>é".encode()
    assert fs.cat_file(f"{root}/rollback/bench-cutover-1/rollback.sh") == b"#!/bin/sh\n"
    if target == "mine":
        assert place == str(tmp_path / "home" / "mine")


def test_reports_lie_on_a_real_server(ftp: Ftp, store: Store, tmp_path: Path) -> None:
    """Its password comes from the environment; the newest content is there."""
    site = site_with(store, tmp_path, ftp.url)
    assert sharing.share(site, REPORT) == ""
    assert sharing.share(site, {"bench-cutover-1.json": b'{"newer": 1}'}) == ""
    assert ftp.names() == sorted(REPORT)
    assert (ftp.folder / "changeover/bench-cutover-1.json").read_bytes() == b'{"newer": 1}'


def test_what_a_server_that_was_away_missed_comes_with_the_next_report(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, people are told once, nothing raises, and no password is shown."""
    for name, value in USERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"username": "deploy", "password": PASSWORD})
    away = Ftp(free_port(), tmp_path / "ftp")
    away.folder.mkdir()
    site = site_with(store, tmp_path, away.url)
    for _ in range(2):
        said = sharing.share(site, REPORT)
        assert said.startswith("3 files are not copied: ftp://127.0.0.1:")
        assert said.endswith("They are copied with the next report") and PASSWORD not in said
    assert all("cannot be written" in each for each in kept(site).values())
    told = messages.due(store, "bench", now=clock.now())
    assert [each.title for each in told] == ["reports of bench are not copied"]
    with serving(away):
        assert sharing.share(site, {"bench-daily.md": b"# day"}) == ""
        assert set(kept(site).values()) == {"there"}
        assert away.names() == sorted([*REPORT, "bench-daily.md"])


def test_a_wrong_password_is_said_without_it(
    ftp: Ftp, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server answers, what the environment has is not in the message."""
    monkeypatch.setenv("FSSPEC_FTP", '{"password": "not-that-one"}')
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"username": "deploy", "password": "530 Auth"})
    monkeypatch.setenv("FSSPEC_FTP_PASSWORD", "530 Auth")
    said = sharing.share(site_with(store, tmp_path, ftp.url), REPORT)
    assert "cannot be written" in said and "530 Auth" not in said


def test_a_server_that_accepts_and_says_nothing_is_waited_for_a_bounded_time(
    store: Store, tmp_path: Path
) -> None:
    """The bound is of all files together: a cutover's end does not wait for each."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        site = site_with(store, tmp_path, f"ftp://127.0.0.1:{silent.getsockname()[1]}/x", "1s")
        said = sharing.share(site, REPORT)
    assert "no answer in time" in said


def test_a_folder_that_cannot_be_written_is_said(store: Store, tmp_path: Path) -> None:
    """As a file in the folder's place."""
    (tmp_path / "taken").write_text("a file")
    said = sharing.share(site_with(store, tmp_path, str(tmp_path / "taken")), REPORT)
    assert said.startswith(f"3 files are not copied: {tmp_path / 'taken'}: ")


def test_another_target_gets_everything(store: Store, tmp_path: Path) -> None:
    """An amended plan names another place: what lies at the former one is copied there, too."""
    sharing.share(site_with(store, tmp_path, "one"), REPORT)
    site = site_with(store, tmp_path, "two")
    assert sharing.deliver(site) == ""
    found = {each.relative_to(tmp_path / "home/two").as_posix()
             for each in (tmp_path / "home/two").rglob("*") if each.is_file()}
    assert found == set(REPORT)


def test_a_missing_package_is_named_before_anything_is_tried(tmp_path: Path) -> None:
    """What to install, and where; a protocol that nobody knows is another thing."""
    assert "smbprotocol" in problem_of("smb://files/x")
    assert "pip wherever flows run" in problem_of("smb://files/x")
    assert "nothing knows the protocol s4://" in problem_of("s4://bucket")
    assert problem_of("file:///srv") == problem_of("folder") == ""
    with pytest.raises(EnvironmentProblem, match="smbprotocol"):
        RemoteFiles("smb://files/x", seconds=2).put("a", b"x")


def test_a_file_that_reads_back_differently_was_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there decides, not that nothing was raised."""
    def writes_half(self: LocalFileSystem, path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:2])

    monkeypatch.setattr(LocalFileSystem, "pipe_file", writes_half)
    with pytest.raises(Unreachable, match="what was written reads back differently"):
        RemoteFiles(str(tmp_path), seconds=60).put("a", b"good")


def test_a_file_that_cannot_be_copied_does_not_keep_older_ones_from_it(
    store: Store, tmp_path: Path
) -> None:
    """A folder has the place of the newest: the others lie there, and it says why it does not."""
    site = site_with(store, tmp_path, "mine")
    newest = "zz-newest.md"
    (tmp_path / "home/mine" / newest).mkdir(parents=True)
    sharing.share(site, {**REPORT, newest: b"# last"})
    said = sharing.share(site, {newest: b"# last, again"})
    assert said.startswith("1 files are not copied: ")
    found = kept(site)
    assert "cannot be written" in found.pop(newest)
    assert set(found.values()) == {"there"}
    (tmp_path / "home/mine" / newest).rmdir()
    assert sharing.deliver(site) == ""


def test_a_file_that_hangs_leaves_time_for_the_others(store: Store, tmp_path: Path) -> None:
    """The named pipe in its place has no reader."""
    site = site_with(store, tmp_path, "mine", within="20s")
    folder = tmp_path / "home/mine"
    folder.mkdir(parents=True)
    mkfifo(folder / "a.md")
    # of one moment: the first by name is tried first
    said = sharing.share(site, {"a.md": b"# a", "b.md": b"# b"})
    assert said.startswith("1 files are not copied: ") and "no answer in time" in said
    assert kept(site)["b.md"] == "there"
    with pytest.raises(Unreachable, match="an earlier try still hangs"):
        RemoteFiles(sharing.place_of(site), seconds=60).put("a.md", b"# newer")
    # what hung may end now, and nobody finds a newer content replaced
    with (folder / "a.md").open("rb") as pipe:
        assert pipe.read() == b"# a"
    (folder / "a.md").unlink()

"""Backups at an address: there whole or not at all, read back, and restored from there."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from changeover import clock
from changeover.backup.check import verify
from changeover.backup.items import Item, TextItem
from changeover.backup.make import make_backup
from changeover.backup.places import IN_TRANSIT, Kept, Place, keep, place
from changeover.backup.restore import restore
from changeover.errors import ChangeoverError, InvalidInput, Unreachable
from tests.integration.cleanup.conftest import tree_of
from tests.support.ftp import PASSWORD, Ftp
from tests.support.killing import each_kill
from tests.support.processes import free_port

pytestmark = pytest.mark.integration
LOCKS = ("sending", "fetching", "fetched")
PLAN: list[Item] = [TextItem("plan", "über")]


@pytest.fixture(params=["memory", "ftp"])
def at(request: pytest.FixtureRequest, tmp_path: Path, ftp: Ftp) -> Iterator[Place]:
    """An address without any backup; FTP's is a server's."""
    url = f"{ftp.url}/{tmp_path.name}" if request.param == "ftp" else f"memory://{tmp_path.name}"
    yield place(url, tmp_path / "home")
    MemoryFileSystem.store.clear()


def kept(at: Place, items: list[Item], name: str = "one") -> Kept:
    return keep(items, at, name=name, now=clock.now())


def in_transit(at: Place) -> list[str]:
    """Return what lies here of backups that are at an address: locks at most."""
    return [path.name for path in at.folder.rglob("*")
            if path.name not in LOCKS and not path.name.endswith(".lock")]


def test_a_backup_is_at_the_address_and_comes_back_as_it_was(
    at: Place, items: list[Item], tmp_path: Path
) -> None:
    """Nothing of it stays here; each file there is what `sha256sum -c` wants."""
    made = kept(at, items)
    assert made.checked.is_good and made.where == f"{at.address}/one" and not in_transit(at)
    assert [each.name for each in at.every()] == ["one"]
    fs, root = fsspec.core.url_to_fs(made.where)
    names = {each.rpartition("/")[2] for each in fs.ls(root, detail=False)}
    assert names == {"orders.sqlite", "files.tar", "plan.txt", "manifest.json", "SHA256SUMS"}
    for item in ("orders", "files", "plan"):
        with at.at_hand("one", item) as path:
            restore(path, item, str(tmp_path / "back" / item))
    assert tree_of(tmp_path / "back" / "files") == tree_of(tmp_path / "folder")
    assert (tmp_path / "back" / "plan").read_text() == "über" and not in_transit(at)


def test_a_finished_one_of_that_name_is_checked_and_returned(at: Place) -> None:
    """A step that is repeated after a kill finds what it did; another name is another backup."""
    first = kept(at, PLAN)
    again = kept(at, [TextItem("plan", "newer")])
    assert again.backup.items == first.backup.items and again.checked.is_good
    kept(at, PLAN, "two")
    assert [each.name for each in at.every()] == ["one", "two"]


def test_one_wrong_byte_or_a_missing_file_there_names_the_item(
    at: Place, items: list[Item]
) -> None:
    """As in a folder, and the others are good."""
    kept(at, items)
    fs, root = fsspec.core.url_to_fs(at.where("one"))
    fs.pipe_file(f"{root}/plan.txt", b"uber")
    fs.rm_file(f"{root}/files.tar")
    with at.at_hand("one") as path:
        bad = {each.name: each.detail for each in verify(path).items if not each.is_good}
    assert bad["files"] == "its file files.tar is missing" and "checksum differs" in bad["plan"]
    assert len(bad) == 2
    with (
        pytest.raises(ChangeoverError, match="is damaged") as caught,
        at.at_hand("one", "plan") as path,
    ):
        restore(path, "plan", str(at.folder / "back"))
    assert caught.value.where == f"{at.address}/one"


def test_what_is_not_there_is_one_message_that_names_the_address(at: Place) -> None:
    """A backup that was never made, an item that none has."""
    with pytest.raises(InvalidInput, match="no finished backup") as caught, at.at_hand("none"):
        pass
    assert caught.value.where == f"{at.address}/none" and at.every() == []
    kept(at, PLAN)
    with (
        pytest.raises(InvalidInput, match="no item 'x'") as caught,
        at.at_hand("one", "x"),
    ):
        pass
    assert caught.value.where == f"{at.address}/one"


def test_half_of_a_backup_is_none(at: Place) -> None:
    """What makes it one comes last, and half of that is not enough."""
    kept(at, PLAN)
    fs, root = fsspec.core.url_to_fs(at.where("one"))
    sums = fs.cat_file(f"{root}/SHA256SUMS")
    for left in (0, len(sums) // 2, len(sums) - 5):
        fs.pipe_file(f"{root}/SHA256SUMS", sums[:left])
        assert at.every() == [] and not at.is_there("one")
    fs.rm_file(f"{root}/SHA256SUMS")
    assert at.every() == [] and not at.is_there("one")
    assert kept(at, PLAN).checked.is_good and at.is_there("one")


def test_killed_at_any_line_there_is_no_backup_or_a_good_one(ftp: Ftp, tmp_path: Path) -> None:
    """A repeat completes it, and leaves nothing here."""
    at = place(f"{ftp.url}/killed", tmp_path / "home")
    fs, root = fsspec.core.url_to_fs(at.address)

    def remove() -> None:
        for name in ("SHA256SUMS", "manifest.json", "plan.txt"):
            if fs.exists(f"{root}/one/{name}"):
                fs.rm_file(f"{root}/one/{name}")

    for kills in each_kill(("backup/places.py",), remove, lambda: kept(at, PLAN)):
        finished = [each.name for each in at.every()]
        if finished:
            with at.at_hand("one") as path:
                assert verify(path).is_good, kills
        again = kept(at, PLAN)
        assert again.checked.is_good and at.is_there("one") and not in_transit(at), kills


def test_what_reads_back_differently_is_no_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there decides, not that nothing was raised."""
    def puts_half(self: MemoryFileSystem, source: str, path: str) -> None:
        self.pipe_file(path, Path(source).read_bytes()[:2])

    monkeypatch.setattr(MemoryFileSystem, "put_file", puts_half)
    at = place(f"memory://{tmp_path.name}", tmp_path)
    with pytest.raises(Unreachable, match=r"one/plan.txt cannot be written: .* reads back diff"):
        kept(at, PLAN)
    assert at.every() == [] and not in_transit(at)


def test_a_backup_that_is_not_good_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken for one when it is needed."""
    at = place(f"memory://{tmp_path.name}", tmp_path)

    def spoilt(*arguments: object, **options: object) -> object:
        made = make_backup(*arguments, **options)  # type: ignore[arg-type]
        (made.path / "plan.txt").write_text("other")
        return made

    monkeypatch.setattr("changeover.backup.make.make_backup", spoilt)
    assert not kept(at, PLAN).checked.is_good
    assert at.every() == [] and not in_transit(at)


def test_a_server_that_is_away_is_one_message_and_leaves_nothing(
    tmp_path: Path, ftp: Ftp
) -> None:
    """Its password, which the environment has, is not in it."""
    at = place(f"ftp://127.0.0.1:{free_port()}/x", tmp_path)
    with pytest.raises(Unreachable, match="cannot be read") as caught:
        kept(at, PLAN)
    assert PASSWORD not in str(caught.value) and not in_transit(at)
    assert at.problem("shop").startswith("no backup can be written: ftp://127.0.0.1:")


def test_a_server_that_accepts_and_says_nothing_is_waited_for_a_bounded_time(
    tmp_path: Path
) -> None:
    """As `within` says."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"ftp://127.0.0.1:{silent.getsockname()[1]}/x"
        at = Place(tmp_path / "x", address, timedelta(seconds=1))
        with pytest.raises(Unreachable, match="no answer in time"):
            kept(at, PLAN)


def test_the_probe_leaves_nothing(at: Place) -> None:
    """It writes, reads back and removes."""
    assert at.problem("shop") == "" == at.problem("shop") and at.every() == []
    fs, root = fsspec.core.url_to_fs(at.address)
    assert fs.ls(root, detail=False) == []


def test_an_address_of_files_here_is_a_folder(tmp_path: Path) -> None:
    """With a folder's one step that names it, and readable by its owner only."""
    at = place(f"file://{tmp_path}/mine", tmp_path / "home")
    made = kept(at, PLAN)
    assert made.where == f"{tmp_path}/mine/one" and not (tmp_path / "home").exists()
    assert stat.S_IMODE((tmp_path / "mine/one/plan.txt").stat().st_mode) == 0o600


def test_a_manifest_from_elsewhere_names_no_file_of_this_machine(at: Place) -> None:
    """Whoever may write there does not write here."""
    kept(at, PLAN)
    fs, root = fsspec.core.url_to_fs(at.where("one"))
    told = json.loads(fs.cat_file(f"{root}/manifest.json"))
    told["items"][0]["file"] = "../../planted"
    raw = json.dumps(told).encode()
    fs.pipe_file(f"{root}/manifest.json", raw)
    fs.pipe_file(f"{root}/SHA256SUMS", f"{sha256(raw).hexdigest()}  manifest.json\n".encode())
    with pytest.raises(InvalidInput, match="is no name"), at.at_hand("one"):
        pass


@pytest.mark.parametrize("wrong", ["ftp://me:hunter2@host/x", "https://host/x", "s3://b/x?t=hunter2"])
def test_an_address_with_a_secret_is_refused_without_it(wrong: str, tmp_path: Path) -> None:
    """As `reports.target` is."""
    with pytest.raises(InvalidInput) as caught:
        place(wrong, tmp_path)
    assert "hunter2" not in str(caught.value) and IN_TRANSIT not in str(caught.value)

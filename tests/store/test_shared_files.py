"""Rendered reports in the store: what was written comes back, newest once, and old ones go."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from sqlalchemy import update

from changeover import clock
from changeover.errors import StoreError
from changeover.store import shared_files
from changeover.store.engine import Store
from changeover.store.shared_files import LARGEST, SharedFileRow

NOW = clock.from_timestamp(1_800_000_000)
PAGE = "<!doctype html>é".encode() * 1000


def names(store: Store, migration: str = "shop") -> list[str]:
    return [each.name for each in shared_files.every(store, migration)]


def test_what_was_saved_comes_back_byte_for_byte(store: Store) -> None:
    """Compressed; of another migration nothing is found."""
    assert shared_files.save(store, "shop", {"shop-cutover-1.html": PAGE}, now=NOW) == []
    found = shared_files.find(store, "shop", "shop-cutover-1.html")
    assert found is not None
    file, content = found
    assert content == PAGE and (file.size, file.at) == (len(PAGE), NOW)
    assert shared_files.find(store, "other", "shop-cutover-1.html") is None
    assert shared_files.find(store, "shop", "nothing") is None


def test_saved_again_there_is_one_and_the_newest(store: Store) -> None:
    """A step that was killed is repeated, and a report is rendered anew each day."""
    for number, text in enumerate((b"first", b"first", b"second")):
        shared_files.save(
            store, "shop", {"r.md": text, "r.json": b""}, now=NOW + timedelta(hours=number))
    assert names(store) == ["r.json", "r.md"]
    found = shared_files.find(store, "shop", "r.md")
    assert found is not None and found[1] == b"second"


def test_what_is_too_large_is_named_and_the_rest_is_saved(store: Store) -> None:
    """Nobody fills the database with one file."""
    left_out = shared_files.save(
        store, "shop", {"large.html": bytes(LARGEST + 1), "n" * 201: b"x", "small.md": b"x"},
        now=NOW)
    assert left_out == ["large.html", "n" * 201]
    assert names(store) == ["small.md"]


def test_only_what_lies_at_the_target_as_it_is_now_was_sent(store: Store) -> None:
    """Another content and another target are copied anew; what cannot be says why."""
    shared_files.save(store, "shop", {"a.md": b"1"}, now=NOW)
    [file] = shared_files.unsent(store, "shop", "s3://one", most=9)
    shared_files.note_sent(store, file, "", problem="no answer in time")
    [file] = shared_files.unsent(store, "shop", "s3://one", most=9)
    assert file.problem == "no answer in time" and not file.is_at("s3://one")
    shared_files.note_sent(store, file, "s3://one")
    [known] = shared_files.every(store, "shop")
    assert known.is_at("s3://one") and known.problem == ""
    assert shared_files.unsent(store, "shop", "s3://one", most=9) == []
    assert len(shared_files.unsent(store, "shop", "s3://two", most=9)) == 1
    shared_files.save(store, "shop", {"a.md": b"2"}, now=NOW)
    # of the first content this comes late: the second is still to be copied
    shared_files.note_sent(store, file, "s3://one")
    assert len(shared_files.unsent(store, "shop", "s3://one", most=9)) == 1


def test_old_files_go_and_others_stay(store: Store) -> None:
    """By the plan's age, of this migration only."""
    for migration in ("shop", "other"):
        shared_files.save(store, migration, {"old.md": b"x"}, now=NOW - timedelta(days=401))
        shared_files.save(store, migration, {"new.md": b"x"}, now=NOW)
    assert shared_files.prune(store, "shop", before=NOW - timedelta(days=400)) == 1
    assert names(store) == ["new.md"]
    assert names(store, "other") == ["new.md", "old.md"]


def test_beyond_the_size_the_oldest_go(store: Store) -> None:
    """However young they are; the rest goes by parts."""
    noise = random.Random(1)
    for number in range(6):
        at = NOW + timedelta(minutes=number)
        shared_files.save(store, "shop", {f"{number}.md": noise.randbytes(1000)}, now=at)
    before = NOW - timedelta(days=1)
    assert shared_files.prune(store, "shop", before=before, most=3_500) == 3
    assert names(store) == ["5.md", "4.md", "3.md"]
    assert shared_files.prune(store, "shop", before=before, most=3_500) == 0


def test_what_failed_is_tried_last(store: Store) -> None:
    """However new it is: it must not keep others from the target."""
    for number in range(3):
        shared_files.save(store, "shop", {f"{number}.md": b"x"}, now=NOW + timedelta(hours=number))
    [newest] = shared_files.unsent(store, "shop", "s3://one", most=1)
    assert newest.name == "2.md"
    shared_files.note_sent(store, newest, "", problem="no answer in time")
    found = shared_files.unsent(store, "shop", "s3://one", most=9)
    assert [each.name for each in found] == ["1.md", "0.md", "2.md"]


def test_the_way_back_is_not_pruned_by_size(store: Store) -> None:
    """It is the oldest of a cutover, and the first that would go."""
    noise, way_back = random.Random(1), "rollback/shop-cutover-1/rollback.sh"
    shared_files.save(store, "shop", {way_back: noise.randbytes(9000)}, now=NOW)
    later = NOW + timedelta(hours=1)
    shared_files.save(store, "shop", {"a.md": noise.randbytes(1000)}, now=later)
    before = NOW - timedelta(days=1)
    assert shared_files.prune(store, "shop", before=before, most=3_500) == 0
    assert names(store) == ["a.md", way_back]


def test_files_of_the_cutover_that_runs_stay(store: Store) -> None:
    """However old they are; those of another one, whose number begins alike, do not."""
    own = {"rollback/shop-cutover-1/rollback.sh", "shop-cutover-1.html"}
    others = {"rollback/shop-cutover-12/rollback.sh", "shop-cutover-12.html", "shop-status.html"}
    shared_files.save(store, "shop", dict.fromkeys(own | others, b"x"), now=NOW)
    later = NOW + timedelta(days=1)
    assert shared_files.prune(store, "shop", before=later, most=0, running="cutover-1") == 3
    assert set(names(store)) == own


def test_a_damaged_content_is_no_report(store: Store) -> None:
    """What is not what was rendered is not shown as if it were."""
    shared_files.save(store, "shop", {"r.md": b"true"}, now=NOW)
    for wrong in (b"no zlib", b""):
        with store.begin() as session:
            session.execute(update(SharedFileRow).values(content=wrong))
        with pytest.raises(StoreError, match=r"r\.md is damaged"):
            shared_files.find(store, "shop", "r.md")

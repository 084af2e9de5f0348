"""Lists of users beside the plan: kept once, read with it, and never without being noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, select

from changeover.clock import now
from changeover.errors import Refused, StoreError
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.store import cutovers, flags, members, plans, user_lists
from changeover.store.engine import Store
from changeover.store.plans import MigrationRow
from changeover.store.user_lists import UserListRow
from tests.core.plan.test_load import GOOD

LISTED = GOOD.replace("header: x-cohort, any_of: [beta]", "header: x-user-id, file: beta.txt")


@pytest.fixture(autouse=True)
def _another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from other tests."""
    monkeypatch.setattr(user_lists, "_remembered", {})


def planned(folder: Path, *users: str) -> Plan:
    """Return the plan whose segment has these users."""
    (folder / "beta.txt").write_text("\n".join(users))
    (folder / "own.yaml").write_text(LISTED)
    return load_plan(folder / "own.yaml")


def kept(store: Store) -> list[str]:
    """Return the contents of the lists that are stored."""
    with store.read() as session:
        return list(session.scalars(select(UserListRow.content)))


def registered(store: Store, plan: Plan) -> Plan:
    """Register a plan, and return it as another process reads it."""
    plans.register(store, plan, source="test", now=now())
    user_lists._remembered.clear()
    return plans.load(store, "shop")


def test_a_plan_comes_back_with_its_users(store: Store, tmp_path: Path) -> None:
    """They are stored once, beside the plan: its own row has a digest only."""
    found = registered(store, planned(tmp_path, "user-1", "user-2"))
    assert found == planned(tmp_path, "user-1", "user-2")
    assert found.routing.segments_of("user-2") == {"beta"}
    assert flags.snapshot(store, "shop").segments["beta"].users.values == {"user-1", "user-2"}
    assert kept(store) == ["user-1\nuser-2\n"]
    with store.read() as session:
        assert "user-1" not in str(session.get_one(MigrationRow, "shop").plan)
    assert members.every_plan(store)[0].routing.segments["beta"].title.endswith("2 in beta.txt")


def test_the_list_of_an_earlier_plan_goes(store: Store, tmp_path: Path) -> None:
    """While no cutover runs a file may change, and then only the new list is kept."""
    registered(store, planned(tmp_path, "user-1"))
    assert registered(store, planned(tmp_path, "user-3")).routing.segments_of("user-3") == {"beta"}
    assert kept(store) == ["user-3\n"]


def test_a_file_that_changes_moves_nobody_while_a_cutover_runs(
    store: Store, tmp_path: Path
) -> None:
    """Whatever is written to it, the stored list counts; `up` with another one is refused."""
    plan = registered(store, planned(tmp_path, "user-1"))
    cutovers.begin(store, "shop", flow_run_id="run-1", now=now())
    changed = planned(tmp_path, "user-1", "user-9")
    assert plans.load(store, "shop").routing.segments_of("user-9") == set()
    with pytest.raises(Refused, match=r"another plan \(the users in beta\.txt are others\)"):
        plans.register(store, changed, source="test", now=now())
    assert registered(store, planned(tmp_path, "user-1")) == plan


def test_a_list_that_is_missing_is_said_and_put_back(store: Store, tmp_path: Path) -> None:
    """Nobody decides without it, and the same plan and file are all it takes."""
    plan = planned(tmp_path, "user-1")
    registered(store, plan)
    with store.begin() as session:
        session.execute(delete(UserListRow))
    user_lists._remembered.clear()
    with pytest.raises(StoreError, match="a list of users of the plan of shop is missing"):
        plans.load(store, "shop")
    assert registered(store, plan) == plan


def test_a_list_that_was_changed_in_the_store_is_not_believed(
    store: Store, tmp_path: Path
) -> None:
    """Its digest is that of the plan that people approved."""
    registered(store, planned(tmp_path, "user-1"))
    with store.begin() as session:
        session.scalars(select(UserListRow)).one().content = "user-1\nuser-2\n"
    user_lists._remembered.clear()
    with pytest.raises(StoreError, match="this is not the list of users"):
        plans.load(store, "shop")

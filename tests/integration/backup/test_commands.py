"""`changeover backup` and `changeover cleanup`, and the tasks that do the same inside flows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact

from changeover.cli.main import main
from changeover.clock import now
from changeover.domain.rollout import Cutover, CutoverStatus
from changeover.plan.load import load_plan
from changeover.procedures.rollback_steps import quarantine_files
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, steps
from changeover.store.engine import Store
from tasks.prepare import back_up
from tests.core.plan.test_load import GOOD
from tests.integration.backup.conftest import fill
from tests.support.ftp import Ftp
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
_PLAN = GOOD + """
cutover:
  backup: {databases: {orders: {url: 'sqlite:///orders.db'}}, folders: {data: data}}
rollback: {roots: [work], cleanup: [work/*.tmp], any_age: true, quarantine: 7d}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """What `changeover up` would have made: a home, a store with the plan, the plan's files."""
    path = tmp_path / "plan" / "shop.yaml"
    for folder in ("plan/data", "plan/work"):
        (tmp_path / folder).mkdir(parents=True)
    path.write_text(_PLAN)
    (tmp_path / "plan" / "data" / "a").write_text("a")
    fill(tmp_path / "plan" / "orders.db", 50)
    found = Home(tmp_path / "home")
    found.create()
    store = ready_store(found.store_url)
    plans.register(store, load_plan(path), source=str(path), now=now())
    store.close()
    found.save_settings({"migration": "shop", "plan": str(path)})
    yield found


def run(home: Home, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command and return its exit code and what it printed."""
    code = main([*arguments, "--home", str(home.root)])
    return code, capsys.readouterr().out


def test_backup_is_made_listed_checked_and_restored(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The runbook's commands, one after the other."""
    code, text = run(home, capsys, "backup", "make", "--name", "one")
    assert code == 0 and "6 items" in text and "verified" in text
    listed = json.loads(run(home, capsys, "backup", "list", "--output", "json")[1])
    assert set(listed[0]["items"]) == {"orders", "data", "changeover-store", "changeover-gateway",
                                       "changeover-plan", "changeover-flags"}
    assert run(home, capsys, "backup", "verify", "one")[0] == 0
    to = str(tmp_path / "back.db")
    assert run(home, capsys, "backup", "restore", "one", "changeover-store", "--to", to)[0] == 0
    Store.open(f"sqlite:///{to}").close()


def test_restored_when_the_store_is_lost(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A backup is for the day on which nothing else is there."""
    run(home, capsys, "backup", "make", "--name", "one")
    (home.root / "store.db").write_bytes(b"")
    to = str(tmp_path / "back.db")
    code, text = run(home, capsys, "backup", "restore", "one", "changeover-store", "--to", to)
    assert code == 0 and "is restored to" in text


def test_restored_from_an_address_when_everything_here_is_lost(
    home: Home, ftp: Ftp, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The runbook's commands with the plan's address, then on a machine without anything."""
    amended = load_plan(tmp_path / "plan/shop.yaml", None)
    assert amended.cutover.backup is not None
    spec = amended.cutover.backup.model_copy(update={"target": ftp.url})
    amended = amended.model_copy(
        update={"cutover": amended.cutover.model_copy(update={"backup": spec})})
    store = Store.open(home.store_url)
    plans.register(store, amended, source=str(tmp_path / "plan/shop.yaml"), now=now())
    store.close()
    code, text = run(home, capsys, "backup", "make", "--name", "one")
    assert code == 0 and f"{ftp.url}/one: 6 items" in text and "verified" in text
    assert not (home.root / "backups").exists()
    listed = json.loads(run(home, capsys, "backup", "list", "--output", "json")[1])
    assert [each["path"] for each in listed] == [f"{ftp.url}/one"]
    assert run(home, capsys, "backup", "verify", "one")[0] == 0
    bare = Home(tmp_path / "nothing")
    to = str(tmp_path / "back.db")
    code, text = run(
        bare, capsys, "backup", "restore", f"{ftp.url}/one", "changeover-store", "--to", to)
    assert code == 0 and f"is restored to {to}" in text
    Store.open(f"sqlite:///{to}").close()
    code = main(["backup", "list", "--in", "ftp://me:hunter2@host/x", "--home", str(home.root)])
    assert code == 2 and "hunter2" not in capsys.readouterr().err


def test_damaged_backup_ends_with_1_and_names_the_item(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """A monitoring job needs no more than the exit code."""
    run(home, capsys, "backup", "make", "--name", "one")
    file = home.root / "backups" / "one" / "orders.sqlite"
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    code, text = run(home, capsys, "backup", "verify", "one")
    assert code == 1 and "✗ orders: its file orders.sqlite is not what was written" in text


@pytest.mark.parametrize(("arguments", "code"), [
    (["backup", "verify", "none"], 2),
    (["backup", "restore", "none", "x", "--to", "/x"], 2),
    (["backup", "make", "--name", "../x"], 2),
    (["cleanup", "--undo", "none"], 2),
    (["cleanup", "--yes", "--name", "../x"], 2),
    (["cleanup", "--plan", "/nowhere.yaml"], 2),
])
def test_wrong_input_is_one_message(
    home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    """What is wrong and what is allowed, without a traceback."""
    assert main([*arguments, "--home", str(home.root)]) == code
    assert capsys.readouterr().err.count("changeover:") == 1


def test_cleanup_lists_moves_and_brings_back(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing moves without --yes, and --undo is exact."""
    file = tmp_path / "plan" / "work" / "a.tmp"
    file.write_text("x")
    code, text = run(home, capsys, "cleanup")
    assert code == 0 and str(file) in text and "nothing was moved" in text and file.exists()
    assert run(home, capsys, "cleanup", "--yes")[0] == 0 and not file.exists()
    code, text = run(home, capsys, "cleanup", "--undo", "by-hand")
    assert code == 0 and "1 files and folders are back" in text and file.read_text() == "x"


def test_cleanup_of_a_plan_file_leaves_what_nobody_knows_the_age_of(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a running migration a start must be given; relative roots are beside the plan."""
    plan = tmp_path / "plan" / "shop.yaml"
    plan.write_text(_PLAN.replace("any_age: true, ", ""))
    (tmp_path / "plan" / "work" / "a.tmp").write_text("x")
    code, text = run(home, capsys, "cleanup", "--plan", str(plan))
    assert code == 1 and "nobody knows when the candidate started" in text
    code, text = run(home, capsys, "cleanup", "--plan", str(plan), "--since", "2020-01-01T00:00:00")
    assert code == 0 and "1 files and folders" in text


def test_plan_check_refuses_roots_that_are_not_the_candidates(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A plan that would clean up everybody's files is refused before it ever runs."""
    plan = tmp_path / "shop.yaml"
    plan.write_text(_PLAN.replace("roots: [work]", "roots: [/tmp, work]"))
    assert main(["plan", "check", str(plan)]) == 2
    assert "root /tmp is /tmp, which belongs to all programs" in capsys.readouterr().err


@pytest.fixture
def site(home: Home) -> Iterator[Site]:
    """The migration as a flow would have opened it."""
    found = Site.open(home.root)
    yield found
    found.store.close()


def test_cutover_backs_up_once_and_shows_a_bar(site: Site) -> None:
    """The step makes a verified backup, a repeat finds it, and Prefect's page shows progress."""
    # here, not in each worker: Prefect's server comes with it, which takes seconds
    from prefect.testing.utilities import prefect_test_harness

    begun = Cutover(7, "shop", 0, CutoverStatus.RUNNING, None, now())
    run = CutoverRun(site, begun)

    @flow
    async def cutover() -> list[str]:
        return [back_up(run), back_up(run)]

    async def carry_out() -> tuple[list[str], list[Artifact]]:
        paths = await cutover()
        async with get_client() as client:
            return paths, await client.read_artifacts()

    with prefect_test_harness(server_startup_timeout=120):
        paths, shown = asyncio.run(carry_out())
    assert paths == [str(site.home.root / "backups" / "shop-cutover-7")] * 2
    kept = steps.one(site.store, "shop", "cutover-7", "backup")
    assert kept is not None and "6 items" in kept.detail and "verified" in kept.detail
    assert {(each.key, each.data) for each in shown if each.type == "progress"} == {
        ("shop-backup", 100.0)}


def test_rollback_quarantines_and_tells_how_long(site: Site, tmp_path: Path) -> None:
    """Step 2 moves the candidate's files beside the plan, and repeated says the same."""
    file = tmp_path / "plan" / "work" / "a.tmp"
    file.write_text("x")
    told = [quarantine_files(site, "rollback-1") for _ in range(2)]
    assert not file.exists() and told[0] == told[1]
    assert told[0].startswith("1 files and folders are in quarantine for 7d")
    assert site.plan.rollback.quarantine == timedelta(days=7)

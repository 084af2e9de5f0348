"""One Prefect server that two databases use, each with a migration of the same name."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow, tags
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks import prepare
from blocks.register import save_all
from changeover import clock
from changeover.domain.prefect_owner import own_name, owner_in, tag
from changeover.domain.rollout import CutoverStatus
from changeover.domain.run_ends import End
from changeover.errors import InvalidInput, Refused, StoreError, Unreachable
from changeover.observer import continuing
from changeover.observer.carrying import describe_end
from changeover.observer.recovery import Recovery
from changeover.site import automations
from changeover.site.elsewhere import by_store
from changeover.site.home import STORE_VARIABLE, Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import (
    carriers,
    cutovers,
    heartbeats,
    identity,
    known_runs,
    plans,
    rollbacks,
)
from tasks import flow_runs
from tests.integration.conftest import make_plan
from tests.support.prefect_runs import Prefect, after, later, prefect_alone, roll_back
from tests.support.processes import LONGEST_PAUSE
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
FLOWS = ("cutover", "rollback")


@dataclass
class Side:
    """One of the two databases, and what its observer works with."""

    site: Site
    api: PrefectApi
    recovery: Recovery

    @property
    def id(self) -> str:
        return identity.of(self.site.store)

    def crashed(self, prefect: Prefect, migration: str | None = None) -> str:
        """Return a run of its deployment that crashed."""
        parameters = {} if migration is None else {"migration": migration}
        run = self.api.start("cutover/main", parameters=parameters)
        assert run is not None
        prefect.set(run, "CRASHED")
        return run


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A server of these tests alone: whose its flows are is what they are about."""
    with prefect_alone(tmp_path_factory.mktemp("prefect")) as found:
        yield found


@contextmanager
def database(path: Path, prefect: Prefect) -> Iterator[Side]:
    home = Home(path)
    home.create()
    store = ready_store(home.store_url)
    plans.register(store, make_plan(), source="test", now=clock.now())
    site = Site(home, make_plan(), store)
    api = PrefectApi(prefect.url, timeout=60, owner=lambda: site.store_id)
    site.prefect = api
    try:
        yield Side(site, api, Recovery(site, api))
    finally:
        store.close()


@pytest.fixture
def sides(shared: Prefect, tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """Two databases; the first one came first, so its flows have the usual names."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(database(tmp_path / name, shared))
                         for name in ("first", "second"))
        for name in FLOWS:
            shared.deploy(name, tags=[tag(first.id)])
            shared.deploy(name, own_name("main", second.id), tags=[tag(second.id)])
        yield first, second
        for name in FLOWS:
            shared.undeploy(f"{name}/{own_name('main', second.id)}")


def test_each_database_has_a_name_of_its_own(sides: tuple[Side, Side]) -> None:
    """It stays: tags of runs that sleep for weeks have it."""
    first, second = sides
    assert first.id and first.id != second.id
    first.site.store.upgrade()
    assert identity.of(first.site.store) == first.site.store_id


def test_an_observer_brings_back_runs_of_its_own_database_only(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """That of the other one knows nothing of them, and each has its own observer."""
    first, second = sides
    mine, others = first.crashed(shared), second.crashed(shared)
    (done,) = second.recovery.sweep(later(LONGEST_PAUSE))
    assert done.endswith("was scheduled again because it crashed")
    assert shared.run(others).state_name == "Recovering"
    assert shared.run(mine).state_type == "CRASHED"
    first.recovery.sweep(after(shared, mine, 6))
    assert shared.run(mine).state_name == "Recovering"


def test_an_observer_leaves_runs_of_another_migration_alone(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """Of one database too: the other migration has its own observer."""
    first, _ = sides
    run = first.crashed(shared, "letters")
    assert first.recovery.sweep(later(LONGEST_PAUSE)) == []
    assert shared.run(run).state_type == "CRASHED"


def test_a_rollback_goes_on_in_the_flows_of_its_own_database(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """Migration and epoch are the same ones in both: the runs are not."""
    runs = []
    for side in sides:
        roll_back(side.site.store)
        side.recovery.sweep(clock.now())
        (found,) = rollbacks.all_of(side.site.store, "bench")
        assert found.is_handed_over and found.flow_run_id
        runs.append(shared.run(found.flow_run_id))
    assert runs[0].deployment_id != runs[1].deployment_id


def test_a_rollback_waits_where_only_another_database_has_flows(
    shared: Prefect, sides: tuple[Side, Side], tmp_path: Path
) -> None:
    """Its run would move the users of that one."""
    with database(tmp_path / "third", shared) as third:
        roll_back(third.site.store)
        assert third.recovery.sweep(clock.now()) == [
            "rollback/main was not started because it is not deployed"]


Opened = tuple[str, str, str | None]
"""Home, database and migration with which a flow run works."""


async def _opened(owner: str, migration: str | None = "bench") -> Opened:
    """Return what a flow run works with whose tags name a database; empty: they name none."""
    @flow
    async def asks() -> Opened:
        home, store, name = await flow_runs._opened(migration)
        return home, identity.of(store), name

    with tags(*([tag(owner)] if owner else [])):
        return await asks()


@pytest.fixture
def blocks(
    shared: Prefect, sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opened]:
    """The first one's blocks are on the server, its home is on this machine."""
    first, _ = sides
    home = first.site.home
    home.save_settings({"migration": "bench", "store_id": first.id})
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    with temporary_settings({PREFECT_API_URL: shared.url}):
        asyncio.run(save_all(make_plan(), home, first.id))
        yield str(home.root), first.id, "bench"


@pytest.mark.parametrize("migration", ["bench", None])
def test_a_worker_beside_another_databases_home_takes_nothing_of_it(
    sides: tuple[Side, Side], blocks: Opened, migration: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same machine, same migration: with that home it would write that one's routes."""
    _, second = sides
    monkeypatch.setenv(STORE_VARIABLE, second.site.home.store_url)
    assert asyncio.run(_opened(second.id, migration)) == ("", second.id, migration)


@pytest.mark.parametrize("migration", ["bench", None])
def test_a_worker_at_home_has_the_blocks_home(
    sides: tuple[Side, Side], blocks: Opened, migration: str | None
) -> None:
    """Also a run that has no tag, which was made before there were any."""
    first, _ = sides
    assert asyncio.run(_opened(first.id, migration)) == blocks
    assert asyncio.run(_opened("", migration)) == blocks


def test_a_block_that_names_no_database_has_no_home_for_a_run_that_does(
    sides: tuple[Side, Side], blocks: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was saved before there were names: whose it is nobody knows."""
    first, second = sides
    asyncio.run(save_all(make_plan(), first.site.home, ""))
    assert asyncio.run(_opened("")) == blocks
    monkeypatch.setenv(STORE_VARIABLE, second.site.home.store_url)
    assert asyncio.run(_opened(second.id)) == ("", second.id, "bench")


def test_a_worker_refuses_a_run_of_another_database(
    sides: tuple[Side, Side], blocks: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one without a tag where the blocks are another one's."""
    first, second = sides
    with pytest.raises(InvalidInput, match="of another database"):
        asyncio.run(_opened(second.id))
    monkeypatch.setenv(STORE_VARIABLE, second.site.home.store_url)
    for owner in (first.id, ""):
        with pytest.raises(InvalidInput, match="of another database"):
            asyncio.run(_opened(owner))


def _prepare(shared: Prefect, side: Side, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PREFECT_API_URL": shared.url,
           STORE_VARIABLE: side.site.home.store_url}
    return subprocess.run(
        [sys.executable, "-m", "blocks.prepare", "--migration", "bench", *options],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=20 * LONGEST_PAUSE, check=False)


def _refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return why the preparation of Prefect failed."""
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def _up(shared: Prefect, side: Side, *options: str) -> subprocess.CompletedProcess[str]:
    home = str(side.site.home.root)
    return _prepare(shared, side, "--home", home, "--pool", "changeover", *options)


def test_deploying_takes_nothing_from_another_database(
    shared: Prefect, sides: tuple[Side, Side], tmp_path: Path
) -> None:
    """Flows get names of their own; `changeover up`, which needs the usual ones, is refused."""
    first, _ = sides
    before = first.api.deployment_id("cutover/main")
    with database(tmp_path / "third", shared) as third:
        refused = _refusal(_up(shared, third))
        assert "are of another database" in refused and "--take-over" in refused
        theirs = _refusal(_prepare(shared, third, "--pool", "changeover", "--elsewhere"))
        assert "the workers of the work pool changeover are another database's" in theirs
        done = _prepare(shared, third, "--pool", "third", "--elsewhere")
        assert done.returncode == 0, done.stdout + done.stderr
        assert own_name("cutover/main", third.id) in done.stdout
        third.api.forget_deployments()
        own = third.api.deployment_id("cutover/main")
        assert own and own != before and third.api.pool() == "third"
        _asks_for_its_own_pool(shared, third)
    first.api.forget_deployments()
    assert first.api.deployment_id("cutover/main") == before


def _asks_for_its_own_pool(shared: Prefect, third: Side) -> None:
    """`changeover up` beside another database: without a worker, and with a pool of its own."""
    def refuse(*, takes_over: bool = False) -> None:
        with temporary_settings({PREFECT_API_URL: shared.url}):
            prepare._refuse_taken(prepare._Asked(
                third.site.home, "bench", "changeover", "process", is_elsewhere=False,
                variables={}, is_own_server=False, takes_over=takes_over))

    with pytest.raises(Unreachable, match="--no-worker"):
        refuse()
    third.site.home.save_settings({"migration": "bench", "has_worker": False})
    refuse()
    shared.call("DELETE", "/work_pools/third")
    with pytest.raises(Unreachable, match="was deleted"):
        refuse()
    with pytest.raises(Unreachable, match="nothing is taken over"):
        refuse(takes_over=True)


@pytest.mark.parametrize("option", ["--own-server", "--take-over"])
def test_flows_of_a_database_that_is_gone_are_taken_over(
    shared: Prefect, sides: tuple[Side, Side], tmp_path: Path, option: str
) -> None:
    """In the server of a home's own by itself: there is no other home. Elsewhere if one says so."""
    with database(tmp_path / "third", shared) as third:
        done = _up(shared, third, option)
        assert done.returncode == 0, done.stdout + done.stderr
        usual = third.api.named("cutover/main")
        assert usual and owner_in(usual["tags"]) == third.id


def test_flows_without_a_tag_are_those_of_the_database_that_knows_their_runs(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """They were deployed before the upgrade; one who has flows beside them uses those."""
    first, second = sides
    shared.deploy("cutover")
    run = shared.start()
    shared.set(run, "RUNNING")
    assert second.api.deployment_id("cutover/main") != first.api.deployment_id("cutover/main")
    usual = first.api.named("cutover/main")
    assert usual and not usual["tags"] and run in first.api.begun("cutover")
    assert known_runs.known(first.site.store, [run]) == set()
    heartbeats.beat(first.site.store, f"flow:{run}", pid=1, detail="", now=clock.now())
    assert known_runs.known(first.site.store, [run, "another"]) == {run}
    assert not _is_beside(shared, first)
    assert _is_beside(shared, second)
    shared.set(run, "CANCELLED")


def _is_beside(shared: Prefect, side: Side) -> bool:
    """Whether `changeover deploy` would give flows names of their own."""
    with temporary_settings({PREFECT_API_URL: shared.url}), pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, side.site.home.store_url)
        return prepare._Asked(
            None, "bench", "machines", "process", is_elsewhere=True, variables={},
            is_own_server=False, takes_over=False).is_beside


def test_a_run_without_a_tag_is_brought_back_by_the_database_that_knows_it(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """The other one's observer sees it in the same deployment, as long as that has no tag."""
    first, second = sides
    shared.deploy("rollback")
    shared.undeploy(own_name("rollback/main", second.id))
    run = shared.start("rollback", state="CRASHED")
    heartbeats.beat(first.site.store, f"flow:{run}", pid=1, detail="", now=clock.now())
    due = after(shared, run, 6)
    assert not [done for done in second.recovery.sweep(due) if "scheduled again" in done]
    assert shared.run(run).state_type == "CRASHED"
    first.recovery.sweep(due)
    assert shared.run(run).state_name == "Recovering"
    shared.deploy("rollback", own_name("main", second.id), tags=[tag(second.id)])


def test_an_automation_of_another_database_is_not_replaced(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """Its name has the migration's only; also one that has no tag, by the flow that it starts."""
    first, second = sides
    ids = [automations.ids_of(each.api, "") for each in sides]
    theirs, mine = (automations.automations("bench", each, "acme.alert") for each in ids)
    shared.post("/automations/", theirs[0])
    for _ in range(2):
        with pytest.raises(Refused, match="is of another database"):
            automations.apply(second.api, mine)
        assert automations.apply(first.api, theirs) == ["replaced bench: roll back on acme.alert"]


def test_a_store_that_is_away_makes_prefect_unreachable(
    shared: Prefect, sides: tuple[Side, Side]
) -> None:
    """Whoever asks Prefect expects that, and nothing of the store."""
    def away() -> str:
        raise StoreError("it is away")

    with pytest.raises(Unreachable, match="it is away"):
        PrefectApi(shared.url, timeout=60, owner=away).deployment_id("cutover/main")


def _elsewhere(side: Side, folder: Path) -> Site:
    """Return the side's migration on a machine without a home, which asks the same server."""
    folder.mkdir()
    found = by_store(folder, make_plan(), side.site.store)
    found.prefect = side.api
    return found


def test_elsewhere_a_run_counts_as_unknown_only_at_its_own_server(
    shared: Prefect, sides: tuple[Side, Side], tmp_path: Path
) -> None:
    """`$PREFECT_API_URL` may name the server of something else, which knows none of our runs."""
    with database(tmp_path / "third", shared) as third:
        cutover = cutovers.begin(
            third.site.store, "bench", flow_run_id=str(uuid4()), now=clock.now())
        away = _elsewhere(third, tmp_path / "away-3")
        with pytest.raises(Refused, match=r"knows neither flow run .* nor flows of this database"):
            continuing.find_ended(away, now=clock.now())
        carrier, = carriers.of(third.site.store, "bench")
        assert describe_end(away, carrier) == ""
        assert cutovers.get(third.site.store, cutover.id).status is CutoverStatus.RUNNING
    second = sides[1]
    cutovers.begin(second.site.store, "bench", flow_run_id=str(uuid4()), now=clock.now())
    away = _elsewhere(second, tmp_path / "away-2")
    (_, ended), = continuing.find_ended(away, now=clock.now())
    assert ended.end is End.UNKNOWN

"""The store: what it promises on both databases, whoever else writes or dies."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from changeover.clock import now
from changeover.domain.audit import Author, NewEvent
from changeover.domain.rollbacks import Rollback, RollbackSeverity, RollbackStatus
from changeover.domain.rollout import Answer, Approval, CutoverStatus, StageAction, StageStatus
from changeover.domain.routing import Change, Mode
from changeover.errors import (
    ApprovalRefused,
    CarriedElsewhere,
    CutoverActive,
    NotLeading,
    Refused,
    StaleEpoch,
    StoreError,
    StoreLocked,
    WrongStoreVersion,
)
from changeover.plan.model import Plan
from changeover.store import (
    approvals,
    audit,
    cutovers,
    heartbeats,
    instructions,
    plans,
    rollbacks,
    routing,
)
from changeover.store.engine import Store
from changeover.store.heartbeats import HeartbeatRow
from changeover.store.schema import METADATA
from tests.store.conftest import shop

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FORK = multiprocessing.get_context("spawn")


def to_gradual(store: Store, weight: int = 500) -> None:
    """Put some users on the candidate."""
    routing.change(
        store, "shop", Change(mode=Mode.GRADUAL, weight=weight), Author("t", "t"), now=now())


def test_migrations_make_the_tables_of_the_models(store: Store) -> None:
    """From empty to head, the database is what the code expects."""
    with store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
    assert found == []


def test_plan_comes_back_as_it_was_registered(store: Store) -> None:
    """What a flow loads is what `up` checked."""
    assert plans.load(store) == shop()
    assert plans.load(store, "shop") == shop()


def test_triggers_come_back_with_the_windows_that_they_have_by_default(store: Store) -> None:
    """What a plan leaves out is left out in the store, too: a budget has no window of its own."""
    triggers = [
        {"name": "budget", "metric": "error_rate", "budget": {"objective": "99.9%"}},
        {"name": "evidence", "metric": "error_rate", "ratio_to_baseline": 2},
        {"name": "bound", "metric": "error_rate", "above": "1%", "for": "5s"}]
    document = shop().model_dump(mode="json", by_alias=True, exclude_unset=True)
    plan = Plan.model_validate({**document, "migration": "watched", "triggers": [
        {**each, "action": "alert"} for each in triggers]})
    plans.register(store, plan, source="test", now=now())
    again = plans.load(store, "watched")
    assert [each.window for each in again.triggers] == [each.window for each in plan.triggers]
    assert [each.burning for each in again.triggers] == [each.burning for each in plan.triggers]


def test_another_plan_is_refused_while_a_cutover_runs(store: Store) -> None:
    """A running cutover never meets another plan than the one it began with."""
    cutovers.begin(store, "shop", flow_run_id="a", now=now())
    plans.register(store, shop(), source="again", now=now())
    changed = shop().model_copy(update={"triggers": []})
    with pytest.raises(Refused, match="runs on another plan"):
        plans.register(store, changed, source="other", now=now())
    assert plans.load(store) == shop()


def test_change_writes_state_and_audit_together(store: Store) -> None:
    """Every change of the routing is in the audit, with who and why."""
    to_gradual(store)
    state = routing.read(store, "shop")
    assert (state.mode, state.weight, state.version) == (Mode.GRADUAL, 500, 2)
    last = audit.events(store, "shop")[-1]
    assert (last.kind, last.data["reason"]) == ("routing.changed", "t")
    assert audit.verify(store, "shop") == []


def test_segments_that_are_moved_and_kept_come_back_as_they_were(store: Store) -> None:
    """Both stand in one column, and are not mixed up."""
    change = Change(mode=Mode.GRADUAL, segments=("beta", "gold"), kept=("vip",))
    moved = routing.change(store, "shop", change, Author("t", "t"), now=now())
    assert (moved.segments, moved.kept) == (("beta", "gold"), ("vip",))
    assert routing.read(store, "shop") == moved


def test_routes_that_are_moved_and_kept_come_back_as_they_were(store: Store) -> None:
    """Each route's share survives the store, and the audit has it."""
    routing.change(store, "shop", Change(
        mode=Mode.GRADUAL, routes=(("orders", 5_000), ("search", 1)), kept_routes=("login",)),
        Author("t", "t"), now=now())
    state = routing.read(store, "shop")
    assert (state.routes, state.kept_routes) == ((("orders", 5_000), ("search", 1)), ("login",))
    stored = {"moved": {"orders": 5_000, "search": 1}, "kept": ["login"]}
    assert audit.events(store, "shop")[-1].data["routes"] == stored
    routing.change(store, "shop", Change(mode=Mode.EMERGENCY_ROLLBACK),
                   Author("t", "t"), now=now())
    assert routing.read(store, "shop").routes == ()


def test_all_that_a_session_reads_is_of_one_moment(store: Store) -> None:
    """A minute that is summed up between two reads is neither missed nor counted twice."""
    services = select(HeartbeatRow.service)
    with store.read() as session:
        assert session.scalars(services).all() == []
        heartbeats.beat(store, "observer", pid=1, now=now())
        assert session.scalars(services).all() == []
    with store.read() as session:
        assert session.scalars(services).all() == ["observer"]


def test_refused_change_changes_nothing(store: Store) -> None:
    """A stale decision leaves state and audit as they were."""
    before = (routing.read(store, "shop"), len(audit.events(store, "shop")))
    with pytest.raises(StaleEpoch):
        routing.change(
            store, "shop", Change(mode=Mode.SHADOW, expected_epoch=7), Author("t", "t"), now=now())
    assert (routing.read(store, "shop"), len(audit.events(store, "shop"))) == before


def _append_many(url: str, worker: int, count: int) -> None:
    store = Store.open(url, timeout=30)
    for number in range(count):
        audit.record(store, "shop", NewEvent(
            actor=f"w{worker}", kind="test", at=now(), data={"n": number}))
        routing.change(
            store, "shop", Change(mode=Mode.GRADUAL, weight=number), Author("w", "race"),
            now=now())
    store.close()


@pytest.mark.integration
def test_racing_processes_keep_the_chain_whole(store: Store, store_url: str) -> None:
    """Writers in several processes lose no event, no version, and break no link."""
    workers = [FORK.Process(target=_append_many, args=(store_url, n, 10)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    assert audit.verify(store, "shop") == []
    assert routing.read(store, "shop").version == 1 + 40
    assert len(audit.events(store, "shop")) == 1 + 80


def _append_for_ever(url: str) -> None:
    store = Store.open(url, timeout=30)
    number = 0
    while True:
        number += 1
        audit.record(store, "shop", NewEvent(actor="w", kind="test", at=now(), data={"n": number}))


@pytest.mark.integration
def test_a_killed_writer_leaves_the_chain_whole(store: Store, store_url: str) -> None:
    """kill -9 in the middle of writing loses at most what was not committed."""
    worker = FORK.Process(target=_append_for_ever, args=(store_url,))
    worker.start()
    while len(audit.events(store, "shop")) < 20:
        assert worker.is_alive()
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join(10)
    assert audit.verify(store, "shop") == []
    audit.record(store, "shop", NewEvent(actor="t", kind="after", at=now(), data={}))
    assert audit.verify(store, "shop") == []


@pytest.mark.parametrize("statement", [
    "UPDATE audit_event SET actor = 'nobody' WHERE seq = 2",
    "DELETE FROM audit_event WHERE seq = 2",
])
def test_the_database_itself_refuses_changes_of_the_audit(store: Store, statement: str) -> None:
    """Not even raw SQL changes what was decided."""
    to_gradual(store)
    with pytest.raises(DBAPIError, match="never changed"), store.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(("statement", "expected"), [
    ("UPDATE audit_event SET data = '{}' WHERE seq = 2", "was changed after it was written"),
    ("DELETE FROM audit_event WHERE seq = 2", "are missing"),
    ("DELETE FROM audit_event WHERE seq = 4", "the tail was cut off"),
    ("DELETE FROM audit_event", "the tail was cut off"),
    ("DELETE FROM audit_head", "head is missing"),
])
def test_verify_finds_tampering(store: Store, statement: str, expected: str) -> None:
    """Whoever removes the protection still leaves a trace."""
    for weight in (100, 200, 300):
        to_gradual(store, weight)
    with store.engine.begin() as connection:
        if store.engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER audit_event_no_update"))
            connection.execute(text("DROP TRIGGER audit_event_no_delete"))
        else:
            connection.execute(text("DROP TRIGGER audit_event_no_change ON audit_event"))
        connection.execute(text(statement))
    assert any(expected in problem for problem in audit.verify(store, "shop"))


def test_second_cutover_is_refused(store: Store) -> None:
    """One cutover of a migration at a time; the same run begins once."""
    first = cutovers.begin(store, "shop", flow_run_id="a", now=now())
    assert cutovers.begin(store, "shop", flow_run_id="a", now=now()) == first
    with pytest.raises(CutoverActive, match=f"cutover {first.id} of shop has not ended"):
        cutovers.begin(store, "shop", flow_run_id="b", now=now())
    cutovers.finish(store, first.id, CutoverStatus.FAILED, outcome="x", now=now())
    assert cutovers.begin(store, "shop", flow_run_id="b", now=now()).id != first.id


@pytest.mark.parametrize("status", [CutoverStatus.PROMOTED, CutoverStatus.STOPPED])
def test_cutover_is_closed_as_rolled_back_only_after_a_rollback(
    store: Store, status: CutoverStatus
) -> None:
    """Whoever read the state before the rollback closes nothing, and promotes no stage."""
    cutover = cutovers.begin(store, "shop", flow_run_id="a", now=now())
    stage = shop().stages()[0]
    cutovers.enter_stage(store, cutover.id, stage, now=now())
    to_gradual(store, 100)
    back = Change(mode=Mode.EMERGENCY_ROLLBACK)
    routing.change(store, "shop", back, Author("alice", "it burns"), now=now())
    with pytest.raises(StaleEpoch):
        instructions.promote(store, cutover.id, stage.key, reason="well", now=now())
    with pytest.raises(StaleEpoch):
        cutovers.finish(store, cutover.id, status, outcome="well", now=now())
    assert cutovers.get(store, cutover.id).status is CutoverStatus.RUNNING
    ended = cutovers.finish(
        store, cutover.id, CutoverStatus.ROLLED_BACK, outcome="it burns", now=now())
    assert ended.status is CutoverStatus.ROLLED_BACK
    # the first end stands, whoever comes later
    assert cutovers.finish(store, cutover.id, status, outcome="well", now=now()) == ended


def test_stage_is_entered_and_decided_once(store: Store) -> None:
    """Times never move by entering again, and the first decision stands."""
    cutover = cutovers.begin(store, "shop", flow_run_id="a", now=now())
    stage = shop().stages()[0]
    entered = cutovers.enter_stage(store, cutover.id, stage, now=now())
    assert cutovers.enter_stage(store, cutover.id, stage, now=now() + timedelta(1)) == entered
    assert entered.soak_until - entered.entered_at == stage.soak
    cutovers.decide(
        store, cutover.id, stage.key, status=StageStatus.PROMOTED, reason="a", now=now())
    again = cutovers.decide(
        store, cutover.id, stage.key, status=StageStatus.ROLLED_BACK, reason="b", now=now())
    assert (again.status, again.reason) == (StageStatus.PROMOTED, "a")
    kinds = [event.kind for event in audit.events(store, "shop")]
    assert kinds.count("stage.entered") == 1
    assert kinds.count("stage.promoted") == 1


def test_hold_begins_the_next_round_once(store: Store) -> None:
    """A run killed after a hold does not hold twice."""
    cutover = cutovers.begin(store, "shop", flow_run_id="a", now=now())
    stage = shop().stages()[0]
    entered = cutovers.enter_stage(store, cutover.id, stage, now=now())
    for _ in range(2):
        held = cutovers.next_round(store, entered, until=now(), now=now())
    assert held.round == 2


def ask(store: Store, ordinal: int = 1) -> Approval:
    """Ask about the first stage."""
    cutover = cutovers.active(store, "shop") or cutovers.begin(
        store, "shop", flow_run_id="a", now=now())
    return approvals.ask(store, Approval(
        cutover_id=cutover.id, stage="beta-5", round=1, ordinal=ordinal, epoch=0, question="?",
        asked_at=now()))


def answer(store: Store, asked: Approval, decision: str, approver: str, epoch: int = 0
           ) -> Approval:
    """Answer a question."""
    given = Answer(StageAction(decision), approver)
    return approvals.answer(store, asked.id, given, epoch=epoch, now=now())


def test_first_answer_stands(store: Store) -> None:
    """The same answer again is fine, another one is refused."""
    asked = ask(store)
    assert approvals.open_for(store, "shop") == asked
    taken = answer(store, asked, "promote", "alice")
    assert answer(store, asked, "promote", "alice") == taken
    with pytest.raises(ApprovalRefused, match="alice decided promote before"):
        answer(store, asked, "hold", "bob")
    assert approvals.open_for(store, "shop") is None


def test_two_approvers_are_two_people(store: Store) -> None:
    """Nobody approves twice for two, however they write their name."""
    answer(store, ask(store), "promote", "Alice")
    second = ask(store, 2)
    with pytest.raises(ApprovalRefused, match="another person is needed"):
        answer(store, second, "promote", " alice ")
    assert answer(store, second, "promote", "bob").decision == "promote"


def test_answer_after_a_rollback_is_void(store: Store) -> None:
    """It is kept, changes nothing, and says so."""
    asked = ask(store)
    with pytest.raises(ApprovalRefused, match="changes nothing because a rollback came first"):
        answer(store, asked, "promote", "alice", epoch=1)
    kept = approvals.all_of(store, asked.cutover_id)[0]
    assert kept.is_void
    assert audit.events(store, "shop")[-1].kind == "approval.void"


def test_rollback_has_one_row_per_epoch(store: Store) -> None:
    """However often it is begun, one rollback follows, and its first end stands."""
    first, second = (
        rollbacks.begin(store, Rollback(
            "shop", epoch=1, reason=reason, severity=RollbackSeverity.HIGH, scope="all", actor="t",
            started_at=now()))
        for reason in ("a", "b")
    )
    assert first == second
    assert rollbacks.not_handed_over(store, "shop") == [first]
    rollbacks.hand_over(store, first.id, flow_run_id="run", now=now())
    assert rollbacks.not_handed_over(store, "shop") == []
    rollbacks.finish(store, first.id, status=RollbackStatus.COMPLETED, analysis={}, now=now())
    ended = rollbacks.finish(
        store, first.id, status=RollbackStatus.NEEDS_PERSON, analysis={}, now=now())
    assert ended.status == "completed"


def test_times_come_back_aware(store: Store) -> None:
    """A time is the same moment on both databases."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    heartbeats.beat(store, "observer", pid=1, now=moment)
    assert heartbeats.every(store)[0].at == moment


def test_empty_database_is_refused_with_the_command_that_helps(empty_url: str) -> None:
    """Nobody works on tables that are not there."""
    with pytest.raises(WrongStoreVersion, match="changeover store upgrade"):
        Store.open(empty_url)


@pytest.mark.parametrize(("version", "advice"), [
    ("9999", "A newer changeover made it"),
    ("0012", "move the database away"),
], ids=["newer", "before the first release"])
def test_other_programs_database_is_refused_with_what_to_do(
    store: Store, store_url: str, version: str, advice: str
) -> None:
    """A program leaves the database of another alone, also when it is told to upgrade."""
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    for create in (False, True):
        with pytest.raises(WrongStoreVersion, match=f"{version}.*{advice}") as error:
            Store.open(store_url, create=create)
        assert error.value.exit_code == 5


def test_password_is_never_shown() -> None:
    """An unreachable server is one message, without its password."""
    with pytest.raises(StoreError) as error:
        Store.open("postgresql://me:secret@127.0.0.1:1/none", timeout=1)
    assert "secret" not in str(error.value)
    assert error.value.exit_code == 5


def test_locked_database_is_one_clear_message(tmp_path: Path) -> None:
    """Another process that holds the database is named as the cause."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    holder = Store.open(url, create=True)
    waiting = Store.open(url, timeout=0.1)
    with (
        holder.begin(),
        pytest.raises(StoreLocked, match="stayed locked"),
        waiting.begin(),
    ):
        pytest.fail("two writers at once")


def test_what_is_no_database_is_one_clear_message(tmp_path: Path) -> None:
    """A wrong file is refused and left alone."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreError):
        Store.open(f"sqlite:///{path}", create=True)
    assert path.read_text().startswith("not a database")


def begin_rollback(store: Store, *, flow_run_id: str | None = None) -> Rollback:
    return rollbacks.begin(store, Rollback(
        "shop", epoch=1, reason="it burns", severity=RollbackSeverity.HIGH, scope="all",
        actor="test", started_at=NOW, flow_run_id=flow_run_id))


def test_rollback_of_a_flow_run_is_its_own_from_the_first_moment(store: Store) -> None:
    """The observer, which looks all the time, starts no second run for it."""
    begin_rollback(store, flow_run_id="by hand")
    assert rollbacks.not_handed_over(store, "shop") == []


def test_rollback_is_carried_by_one_run_at_a_time(store: Store) -> None:
    """Neither a person's run nor a late note of the observer takes it from the one at work."""
    rollback_id = begin_rollback(store).id
    minute = timedelta(minutes=1)

    def carry(run: str, now: datetime) -> str | None:
        return rollbacks.acquire_lease(
            store, rollback_id, flow_run_id=run, lease=minute, now=now).flow_run_id

    assert carry("by hand", NOW) == "by hand"
    assert rollbacks.hand_over(
        store, rollback_id, flow_run_id="other", now=NOW).flow_run_id == "by hand"
    with pytest.raises(CarriedElsewhere, match="flow run by hand carries rollback"):
        carry("other", NOW + minute / 2)
    assert carry("by hand", NOW + minute / 2) == "by hand"
    with pytest.raises(CarriedElsewhere):
        carry("other", NOW + minute)


def test_rollback_whose_run_says_nothing_more_is_carried_by_the_next(store: Store) -> None:
    """The one that stood still does nothing more when it wakes up."""
    rollback_id = begin_rollback(store).id
    minute = timedelta(minutes=1)
    rollbacks.acquire_lease(store, rollback_id, flow_run_id="first", lease=minute, now=NOW)
    rollbacks.acquire_lease(store, rollback_id, flow_run_id="next", lease=minute,
                            now=NOW + 2 * minute)
    with pytest.raises(CarriedElsewhere):
        rollbacks.acquire_lease(store, rollback_id, flow_run_id="first", lease=minute,
                         now=NOW + 2 * minute)


def test_what_was_written_stands_in_no_error(store: Store) -> None:
    """Logs and traces get errors with what led to them: keys of users have no place there."""
    key = secrets.token_hex(8)
    query = text("INSERT INTO nowhere VALUES (:key)")
    with pytest.raises((StoreError, DBAPIError)) as error, store.begin() as session:
        session.execute(query, {"key": key})
    assert key not in "".join(traceback.format_exception(error.value))


def test_what_was_written_by_one_that_may_no_more_is_not_committed(store: Store) -> None:
    """A process that stood still in its transaction is asked again at the end."""
    may = iter([True, False])

    def fence() -> None:
        if not next(may):
            raise NotLeading("another one leads")

    store.fence = fence
    with pytest.raises(NotLeading):
        audit.record(store, "shop", NewEvent("test", "cutover.started", {}, now()))
    store.fence = lambda: None
    assert [event.kind for event in audit.events(store, "shop")].count("cutover.started") == 0


def test_the_last_question_comes_after_all_that_is_written(store: Store) -> None:
    """What was only added would be sent at the commit, after the answer."""
    held: list[Session] = []
    unsent: list[int] = []
    store.fence = lambda: unsent.extend(len(session.new) for session in held)
    with store.begin() as session:
        held.append(session)
        session.add(HeartbeatRow(
            service="observer", pid=1, at=now(), detail="", machine=""))
    assert unsent == [0]

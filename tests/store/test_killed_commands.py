"""Commands that steer, killed by SIGKILL before every line: the store is as before, or as after.

On SQLite where typed names are enough, and on PostgreSQL where people show tokens.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import inspect, make_url, text

from changeover import clock
from changeover.cli.proving import VARIABLE
from changeover.domain.audit import Author
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.tokens import ApproverToken
from changeover.plan.load import load_plan
from changeover.procedures import amending
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import (
    approver_tokens,
    audit,
    cutovers,
    instructions,
    leaving_out,
    plans,
    scrypt,
)
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.store.conftest import admin, new_database
from tests.support import commands
from tests.support.killing import each_kill, files_below, in_child

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEERING = ("store/instructions.py", "cli/steer.py", "procedures/by_hand.py")
WAKING = (*STEERING, "procedures/steering.py")  # how the run is woken is the same for all
FREEZING = ("store/freezes.py", "cli/freeze.py", "procedures/by_hand.py")
AMENDING = ("store/instructions.py", "store/plans.py", "cli/amend.py", "procedures/amending.py")
SECOND = ("--approver", "bob", "--reason", "it was proved")


@dataclass(frozen=True)
class Killed:
    """A command that is killed.

    Args:
        words: The command.
        files: The modules at whose lines it is killed, first the one that writes.
        before: What was done before it, as commands.
        kinds: Kinds of the events that it leaves in the audit.
        again: What it says when it is given again after it has taken effect.
        code: With which exit code.
        person: What another person did before in the store.
    """

    words: Sequence[str]
    files: tuple[str, ...]
    kinds: tuple[str, ...]
    again: str
    code: int = 0
    before: Sequence[Sequence[str]] = ()
    person: Callable[[Site], object] = lambda _site: None


def token_of(site: Site, who: str) -> ApproverToken | None:
    """Return a person's token, if they have one."""
    known = approver_tokens.every(site.store, "shop")
    return next((each for each in known if each.name == who), None)


def agrees(kind: InstructionKind, stage: str, round_: int) -> Callable[[Site], object]:
    """Return what somebody does who is the first of two to agree."""
    def agree(site: Site) -> object:
        given = Instruction(1, kind, "ann", "it was proved", clock.now(), stage, round_)
        if kind is InstructionKind.SKIP:
            return instructions.skip(site.store, given, token_of(site, "ann"))
        return instructions.promote_now(
            site.store, given, site.plan.stage(stage), token_of(site, "ann"))

    return agree


def agrees_to_the_plan(site: Site) -> object:
    """Do the same about the amended plan."""
    proposed = amending.propose(site, load_plan(site.home.root / "plan.yaml"))
    return amending.agree(site, proposed, Author("ann", "it was proved"), source="test",
                          token=token_of(site, "ann"))


CASES = {
    "pause": Killed(
        ("pause", "--reason", "trouble"), WAKING, ("cutover.pause",), "is paused since"),
    "resume": Killed(
        ("resume", "--reason", "well"), STEERING, ("cutover.resume",), "goes on",
        before=[("pause", "--reason", "trouble")]),
    "extend": Killed(
        ("extend", "2d", "--reason", "weekend"), STEERING, ("cutover.extend",),
        "soaks longer by 2d"),
    "promote-now": Killed(
        ("promote-now", *SECOND), STEERING, ("cutover.promote-now",), "is over",
        person=agrees(InstructionKind.PROMOTE_NOW, "beta-5", 1)),
    "skip-stage": Killed(
        ("skip-stage", "gradual-10", *SECOND), STEERING, ("cutover.skip-stage",),
        "will be skipped", person=agrees(InstructionKind.SKIP, "gradual-10", 0)),
    "freeze on": Killed(
        ("freeze", "on", "--reason", "holidays", "--until", "2d"), FREEZING, ("freeze.on",),
        "is frozen by"),
    "freeze off": Killed(
        ("freeze", "off", "--reason", "over"), FREEZING, ("freeze.off",), "is not frozen",
        before=[("freeze", "on", "--reason", "holidays")]),
    "plan amend": Killed(
        ("plan", "amend", "plan.yaml", "--yes", *SECOND), AMENDING,
        ("cutover.amend", "plan.amended"), "the plan is the one that runs", 4,
        person=agrees_to_the_plan),
}


class OnSqlite:
    """A home with its store in a file, which is put back before each kill."""

    how: tuple[str, ...] = ()
    """Modules at whose lines a command is killed besides its own."""

    def __init__(self, home: Home) -> None:
        self.home, self._file, self._saved = home, home.root / "store.db", b""

    def save(self) -> None:
        """Remember the store as it is."""
        with closing(sqlite3.connect(self._file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._saved = self._file.read_bytes()

    def restore(self) -> None:
        """Make it as it was."""
        for part in self.home.root.glob("store.db-*"):
            part.unlink()
        self._file.write_bytes(self._saved)

    def outside(self) -> object:
        """Return what a kill would leave in this moment."""
        return files_below(self.home.root)

    def content(self) -> list[str]:
        """Return all that it has, line by line, with what a killed writer left to be undone."""
        with closing(sqlite3.connect(self._file)) as connection:
            return list(connection.iterdump())


class OnPostgres(OnSqlite):
    """The same with a store in a database, which is copied where a kill left something."""

    how = ("store/admission.py", "procedures/proving.py", "procedures/by_hand.py", "cli/amend.py")

    def __init__(self, home: Home, server: str) -> None:
        super().__init__(home)
        self._server, self._name = server, str(make_url(home.store_url).database)
        self._before: list[str] = []
        self._rows = ""
        self._numbers: list[tuple[str, int | None]] = []

    def save(self) -> None:
        self._copy(self._name, f"{self._name}_saved")
        self._before, self._numbers = self.content(), self._sequences()

    def restore(self) -> None:
        if self.content() != self._before:
            self._copy(f"{self._name}_saved", self._name)
            return
        # an undone transaction leaves nothing but numbers that it has used up
        with admin(self.home.store_url) as connection:
            for name, last in self._numbers:
                connection.execute(
                    text("SELECT setval(:name, :last, :is_used)"),
                    {"name": name, "last": last or 1, "is_used": last is not None})

    def outside(self) -> object:
        return super().outside(), self.content()

    def _sequences(self) -> list[tuple[str, int | None]]:
        with admin(self.home.store_url) as connection:
            rows = connection.execute(text("SELECT sequencename, last_value FROM pg_sequences"))
            return [(row[0], row[1]) for row in rows]

    def _copy(self, one: str, other: str) -> None:
        with admin(self._server) as connection:
            # the server may not have noticed yet that who used it was killed
            connection.execute(text(f"DROP DATABASE IF EXISTS {other} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {other} TEMPLATE {one}"))

    def content(self) -> list[str]:
        with admin(self.home.store_url) as connection:
            # one question: it is put before and after each kill
            self._rows = self._rows or " UNION ALL ".join(
                f"SELECT '{table}', t::text FROM \"{table}\" t"  # noqa: S608
                for table in inspect(connection).get_table_names())
            return sorted(" ".join(row) for row in connection.execute(text(self._rows)))


def registered(home: Home, more: str = "") -> None:
    """Have a cutover soak in its first stage, which two people approve; the other plan is a file.
    """
    words = GOOD.replace("segments: [beta], soak: 1h", "segments: [beta], soak: 1h, "
                         "approval: {approvers: 2}").replace(
                         "{percent: 10, soak: 1h}",
                         "{percent: 10, soak: 1h, approval: {approvers: 2}}") + more
    (home.root / "plan.yaml").write_text(words)
    plan = load_plan(home.root / "plan.yaml")
    (home.root / "plan.yaml").write_text(words.replace("below: 1%", "below: 2%"))
    with closing(Store.open(home.store_url)) as store:
        plans.register(store, plan, source="test", now=NOW)
        # a run that Prefect does not know: to wake it, the command asks in vain
        begun = cutovers.begin(store, "shop", flow_run_id="run-1", now=NOW)
        cutovers.enter_stage(store, begun.id, plan.stages()[0], now=NOW)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home without a store; the clock stands."""
    for module in ("amend", "freeze", "plan", "steer"):
        import_module(f"changeover.cli.{module}")  # once, before all the forks
    PrefectApi("http://127.0.0.1:1/api")  # its parts are loaded and its certificates are read
    monkeypatch.setattr(clock, "now", lambda: NOW + HOUR / 2)
    monkeypatch.setenv("USER", "ann")
    found = Home(tmp_path / "home")
    found.create()
    found.save_settings({"migration": "shop", "plan": str(found.root / "plan.yaml"),
                         "api_url": "http://127.0.0.1:1/api"})
    return found


@pytest.fixture
def on_sqlite(home: Home, sqlite_template: Path) -> OnSqlite:
    """Typed names are enough."""
    (home.root / "store.db").write_bytes(sqlite_template.read_bytes())
    registered(home)
    return OnSqlite(home)


@pytest.fixture
def on_postgres(
    home: Home, postgres_url: str, postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> OnPostgres:
    """The plan wants tokens; bob gives the commands."""
    # a guess costs less here: some hundred commands look at the same two tokens
    monkeypatch.setattr(scrypt, "_COST", {"n": 1 << 4, "r": 8, "p": 1})
    home.save_secrets({"store_url": new_database(postgres_url, template=postgres_template)})
    registered(home, "approvers: {names: [ann, bob], tokens: true}\n")
    with closing(Store.open(home.store_url)) as store:
        made = [approver_tokens.add(store, ApproverToken("shop", who, NOW, "root"))[1]
                for who in ("ann", "bob")]
    monkeypatch.setenv(VARIABLE, made[1])
    return OnPostgres(home, postgres_url)


@pytest.fixture(params=["on_sqlite", pytest.param("on_postgres", marks=pytest.mark.postgres)])
def kept(request: pytest.FixtureRequest) -> OnSqlite:
    """Where the store is, and how people show who they are."""
    found: OnSqlite = request.getfixturevalue(request.param)
    return found


def run(home: Home, *words: str, code: int = 0) -> str:
    """Give a command in a process of its own and return what it says."""
    return in_child(lambda: commands.changeover(home.root, *words, code=code))


@pytest.mark.chaos
@pytest.mark.parametrize("command", CASES)
def test_a_command_killed_at_any_line_has_done_all_or_nothing_and_can_be_given_again(
    kept: OnSqlite, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applied once, audited once, in an unbroken chain; its second time changes nothing more."""
    case, home = CASES[command], kept.home
    monkeypatch.chdir(home.root)
    for words in case.before:
        run(home, *words)
    with closing(Site.open(home.root).store) as store:
        case.person(Site(home, plans.load(store), store))
    kept.save()

    def act() -> None:
        commands.changeover(home.root, *case.words)

    before = kept.content()
    run(home, *case.words)
    after = kept.content()
    assert after != before
    found = set()
    # how the run is woken is the same on each database
    files = (case.files[0], *kept.how) if kept.how else case.files
    for _ in each_kill(
            files, kept.restore, act, since=case.files[0], outside=kept.outside):
        left = kept.content()
        assert left in (before, after)
        found.add(left == after)
    assert found == {False, True}  # as before: given again, it is given for the first time
    kept.restore()
    for code in (0, case.code):
        said = run(home, *case.words, code=code)
        assert kept.content() == after
    assert case.again in said
    check_audit(home, case.kinds)


@pytest.mark.chaos
def test_a_beginning_with_a_later_stage_killed_at_any_line_passes_over_all_stages_or_none(
    kept: OnSqlite
) -> None:
    """What `from_stage` writes when its approvers have agreed."""
    home = kept.home
    kept.save()
    with closing(Store.open(home.store_url)) as store:
        over = plans.load(store).stages()[1:3]

    def act() -> str:
        with closing(Store.open(home.store_url)) as store:
            leaving_out.pass_over(store, 1, over, reason="agreed", now=clock.now())
        return ""

    before = kept.content()
    in_child(act)
    in_child(act)  # given again, it changes nothing more
    after = kept.content()
    for _ in each_kill(
            ("store/leaving_out.py",), kept.restore, act, outside=kept.outside):
        assert kept.content() == before  # no line of it runs after the end of the transaction
    kept.restore()
    in_child(act)
    assert kept.content() == after
    with closing(Store.open(home.store_url)) as store:
        assert audit.verify(store, "shop") == []
        kinds = [event.kind for event in audit.events(store, "shop")]
        assert kinds.count("stage.skipped") == len(over)


def check_audit(home: Home, kinds: tuple[str, ...]) -> None:
    """The newest events are these, each once, and the chain is whole."""
    with closing(Store.open(home.store_url)) as store:
        assert audit.verify(store, "shop") == []
        events = audit.events(store, "shop")
        assert tuple(event.kind for event in events[-len(kinds):]) == kinds
        known = [(event.kind, event.actor) for event in events if event.kind != "approver.token"]
        assert len(known) == len(set(known))

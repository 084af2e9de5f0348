"""Commands that steer, killed by SIGKILL before every line: the store is as before, or as after."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.plan.load import load_plan
from changeover.procedures import amending
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import audit, cutovers, instructions, leaving_out, plans
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.support import commands
from tests.support.killing import each_kill, in_child

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


def agrees(kind: InstructionKind, stage: str, round_: int) -> Callable[[Site], object]:
    """Return what somebody does who is the first of two to agree."""
    def agree(site: Site) -> object:
        given = Instruction(1, kind, "ann", "it was proved", clock.now(), stage, round_)
        if kind is InstructionKind.SKIP:
            return instructions.skip(site.store, given)
        return instructions.promote_now(site.store, given, site.plan.stage(stage))

    return agree


def agrees_to_the_plan(site: Site) -> object:
    """Do the same about the amended plan."""
    proposed = amending.propose(site, load_plan(site.home.root / "plan.yaml"))
    return amending.agree(site, proposed, Author("ann", "it was proved"), source="test")


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


@pytest.fixture
def home(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose cutover soaks in its first stage, which two people approve; the clock stands."""
    for module in ("amend", "freeze", "plan", "steer"):
        import_module(f"changeover.cli.{module}")  # once, before all the forks
    PrefectApi("http://127.0.0.1:1/api")  # its parts are loaded and its certificates are read
    monkeypatch.setattr(clock, "now", lambda: NOW + HOUR / 2)
    monkeypatch.setenv("USER", "ann")
    found = Home(tmp_path / "home")
    found.create()
    found.save_settings({"migration": "shop", "plan": str(found.root / "plan.yaml"),
                         "api_url": "http://127.0.0.1:1/api"})
    (found.root / "store.db").write_bytes(sqlite_template.read_bytes())
    text = GOOD.replace("segments: [beta], soak: 1h", "segments: [beta], soak: 1h, "
                        "approval: {approvers: 2}").replace(
                        "{percent: 10, soak: 1h}",
                        "{percent: 10, soak: 1h, approval: {approvers: 2}}")
    (found.root / "plan.yaml").write_text(text)
    plan = load_plan(found.root / "plan.yaml")
    (found.root / "plan.yaml").write_text(text.replace("below: 1%", "below: 2%"))
    with closing(Store.open(found.store_url)) as store:
        plans.register(store, plan, source="test", now=NOW)
        # a run that Prefect does not know: to wake it, the command asks in vain
        begun = cutovers.begin(store, "shop", flow_run_id="run-1", now=NOW)
        cutovers.enter_stage(store, begun.id, plan.stages()[0], now=NOW)
    yield found


def run(home: Home, *words: str, code: int = 0) -> str:
    """Give a command in a process of its own and return what it says."""
    return in_child(lambda: commands.changeover(home.root, *words, code=code))


def content(home: Home) -> list[str]:
    """Return all that a store has, line by line, with what a killed writer left to be undone."""
    with closing(sqlite3.connect(home.root / "store.db")) as connection:
        return list(connection.iterdump())


@pytest.mark.chaos
@pytest.mark.parametrize("command", CASES)
def test_a_command_killed_at_any_line_has_done_all_or_nothing_and_can_be_given_again(
    home: Home, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applied once, audited once, in an unbroken chain; its second time changes nothing more."""
    case = CASES[command]
    monkeypatch.chdir(home.root)
    for words in case.before:
        run(home, *words)
    with closing(Site.open(home.root).store) as store:
        case.person(Site(home, plans.load(store), store))
    database = home.root / "store.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    saved = database.read_bytes()

    def prepare() -> None:
        for part in home.root.glob("store.db-*"):
            part.unlink()
        database.write_bytes(saved)

    def act() -> None:
        commands.changeover(home.root, *case.words)

    before = content(home)
    run(home, *case.words)
    after = content(home)
    assert after != before
    found = set()
    for _ in each_kill(case.files, prepare, act, since=case.files[0]):
        left = content(home)
        assert left in (before, after)
        found.add(left == after)
    assert found == {False, True}  # as before: given again, it is given for the first time
    prepare()
    for code in (0, case.code):
        said = run(home, *case.words, code=code)
        assert content(home) == after
    assert case.again in said
    check_audit(home, case.kinds)


@pytest.mark.chaos
def test_a_beginning_with_a_later_stage_killed_at_any_line_passes_over_all_stages_or_none(
    home: Home
) -> None:
    """What `from_stage` writes when its approvers have agreed."""
    database = home.root / "store.db"
    saved = database.read_bytes()
    with closing(Store.open(home.store_url)) as store:
        over = plans.load(store).stages()[1:3]

    def prepare() -> None:
        for part in home.root.glob("store.db-*"):
            part.unlink()
        database.write_bytes(saved)

    def act() -> str:
        with closing(Store.open(home.store_url)) as store:
            leaving_out.pass_over(store, 1, over, reason="agreed", now=clock.now())
        return ""

    before = content(home)
    in_child(act)
    in_child(act)  # given again, it changes nothing more
    after = content(home)
    for _ in each_kill(("store/leaving_out.py",), prepare, act):
        assert content(home) == before  # no line of it runs after the end of the transaction
    prepare()
    in_child(act)
    assert content(home) == after
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
        known = [(event.kind, event.actor) for event in events]
        assert len(known) == len(set(known))

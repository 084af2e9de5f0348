"""Levers of hooks with a real store: pulled once, undone once, never behind a rollback's back."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.hooks import Hook, When, facts_of
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Change, Mode
from changeover.errors import Refused, StaleEpoch
from changeover.plan.model import Plan
from changeover.plan.targets import ReportsSpec
from changeover.procedures import amending, hooks, preparation, rollback_steps, undoing
from changeover.procedures.hook_log import begun, left
from changeover.procedures.steps import CutoverRun, RollbackRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, cutovers, plans, rollbacks, routing, shared_files, steps
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.killing import each_kill, files_below
from tests.support.processes import LONGEST_PAUSE, meanwhile

ONCE = ('grep -qsx "$CHANGEOVER_IDEMPOTENCY_KEY" {keys} || '
        '{{ echo "$CHANGEOVER_IDEMPOTENCY_KEY" >> {keys}; echo {name} >> {acts}; }}')
"""A lever that refuses to act twice for one occasion, as systems can."""
STAGE = "gradual-50"
TAKES_MINUTES = 1


def plan_of(folder: Path, timeout: str = "30s") -> Plan:
    """Return a plan with two hooks whose levers note in a file that they act."""
    levers: dict[str, Any] = {}
    for name in ("up", "down", "more", "less"):
        text = ONCE.format(name=name, keys=folder / "keys", acts=folder / "acts")
        levers[name] = {"command": ["sh", "-c", text], "timeout": timeout}
    specs = [{"lever": "up", "undo": "down"}, {"lever": "more", "undo": "less"}]
    return make_plan(levers=levers, phases=[{"phase": "gradual", "stages": [
        {"percent": 50, "soak": 0, "hooks": {"before": specs}}]}])


@contextmanager
def opened(folder: Path) -> Iterator[CutoverRun]:
    """Open the cutover in a folder, and begin it if it was not."""
    is_new = not (folder / "store.db").exists()
    store = Store.open(f"sqlite:///{folder / 'store.db'}", create=is_new)
    if is_new:
        plans.register(store, plan_of(folder), source="test", now=clock.now())
    plan = plans.load(store)
    cutover = cutovers.begin(store, plan.migration, flow_run_id="one", now=clock.now())
    yield CutoverRun(Site(Home(folder), plan, store), cutover, "one")
    store.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[CutoverRun]:
    """A cutover that has not entered its stage."""
    with opened(tmp_path) as found:
        yield found


def hook(run: CutoverRun, number: int = 1) -> Hook:
    return Hook(STAGE, When.BEFORE, number, run.site.plan.stage(STAGE).hooks.before[number - 1])


def acts(folder: Path) -> list[str]:
    """Return which levers acted, in order."""
    path = folder / "acts"
    return path.read_text().split() if path.exists() else []


def rolled_back(site: Site) -> RollbackRun:
    """Move the traffic back and open the rollback, as step 1 does."""
    state = routing.change(site.store, site.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
                           Author("ann", "it burns"), now=clock.now())
    found = rollbacks.begin(site.store, Rollback(
        site.migration, epoch=state.epoch, reason="it burns", scope="all", actor="ann",
        severity=RollbackSeverity.HIGH, started_at=clock.now()))
    return RollbackRun(site, found.id)


def carry_out(folder: Path) -> None:
    """Carry out the hooks that are due, as the flow does."""
    with opened(folder) as run:
        for each in hooks.due(run, STAGE, When.BEFORE):
            hooks.pull(run, each)


def undo(folder: Path) -> None:
    """Undo what hooks did, as `rollback/main` does."""
    with opened(folder) as run:
        undoing.undo_hooks(RollbackRun(run.site, rollbacks.all_of(run.site.store, "bench")[-1].id))


def each_killed(
    folder: Path, files: tuple[str, ...], prepare: Callable[[Path], None],
    action: Callable[[Path], None],
) -> Iterator[Path]:
    """Kill an action at every line of files, from the same state each time."""
    kept, work = folder / "kept", folder / "work"
    work.mkdir()
    prepare(work)
    shutil.copytree(work, kept)

    def reset() -> None:
        # the levers know the folder's path: what was there is replaced
        shutil.rmtree(work)
        shutil.copytree(kept, work)

    for _ in each_kill(
            files, reset, lambda: action(work), outside=lambda: files_below(work)):
        yield work


@pytest.mark.chaos
def test_levers_killed_at_every_line_act_once(tmp_path: Path) -> None:
    """Carried out again, each has acted once, in order, and `rollback.sh` would undo both."""
    def prepare(folder: Path) -> None:
        with opened(folder):
            return

    kills = 0
    for folder in each_killed(tmp_path, ("procedures/hooks.py",), prepare, carry_out):
        kills += 1
        carry_out(folder)
        assert acts(folder) == ["up", "more"]
    assert kills >= 12  # what is outside changes that often
    with opened(folder) as run:
        assert hooks.due(run, STAGE, When.BEFORE) == []
        assert hooks.undo_levers(run) == ["less", "down"]
        assert audit.verify(run.site.store, "bench") == []
    script = (folder / "rollback" / "cutover-1" / "rollback.sh").read_text()
    assert script.index("lever less") < script.index("lever down")


@pytest.mark.chaos
def test_undo_killed_at_every_line_undoes_once_newest_first(tmp_path: Path) -> None:
    """Whoever is killed; a further rollback undoes nothing more."""
    def prepare(folder: Path) -> None:
        carry_out(folder)
        with opened(folder) as run:
            rolled_back(run.site)

    kills = 0
    for folder in each_killed(tmp_path, ("procedures/undoing.py",), prepare, undo):
        kills += 1
        undo(folder)
        assert acts(folder) == ["up", "more", "less", "down"]
    assert kills >= 8
    undo(folder)
    assert acts(folder) == ["up", "more", "less", "down"]
    with opened(folder) as run:
        assert left(run.site) == []
        assert audit.verify(run.site.store, "bench") == []


def test_a_lever_is_not_pulled_behind_a_rollbacks_back(
    run: CutoverRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came between the look and the note: the second look finds it, and nothing is undone."""
    save = run.save

    def and_then_roll_back(*args: Any, **kwargs: Any) -> Any:
        saved = save(*args, **kwargs)
        if args[1] is StepStatus.BEGUN:
            back.append(rolled_back(run.site))
        return saved

    back: list[RollbackRun] = []
    monkeypatch.setattr(run, "save", and_then_roll_back)
    with pytest.raises(StaleEpoch):
        hooks.pull(run, hook(run))
    assert acts(tmp_path) == []
    assert undoing.undo_hooks(back[0]) == ""
    assert acts(tmp_path) == []


def test_a_lever_is_not_pulled_when_a_rollback_came_while_the_script_was_written(
    run: CutoverRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take longer than a rollback waits: the last look is right before the lever."""
    write = preparation.rollback_script.write_rollback_script

    def and_roll_back(*args: Any, **kwargs: Any) -> Path:
        back.append(rolled_back(run.site))
        return write(*args, **kwargs)

    back: list[RollbackRun] = []
    monkeypatch.setattr(preparation.rollback_script, "write_rollback_script", and_roll_back)
    with pytest.raises(StaleEpoch):
        hooks.pull(run, hook(run))
    assert acts(tmp_path) == []
    assert undoing.undo_hooks(back[0]) == ""
    assert acts(tmp_path) == []


def test_a_rollback_that_waited_does_not_undo_what_was_not_done(
    run: CutoverRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found the note of a hook that had begun, which then found the rollback."""
    hooks.begin(run, hook(run))
    back = rolled_back(run.site)
    assert [each.lever for each in left(run.site)] == ["down"]

    def says_so(*_: Any) -> None:
        run.save(hook(run).step, StepStatus.FAILED, "a rollback came first",
                 data=facts_of(hook(run), 1, is_pulled=False))

    monkeypatch.setattr(undoing, "_until_settled", says_so)
    assert undoing.undo_hooks(back) == "nothing is left to undo"
    assert acts(tmp_path) == []


def test_a_target_that_hangs_is_asked_after_the_lever(run: CutoverRun, tmp_path: Path) -> None:
    """A rollback waits for as long as the lever may take: no target may come before it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        target = f"ftp://127.0.0.1:{silent.getsockname()[1]}/x"
        run.site.plan = run.site.plan.model_copy(update={
            "reports": ReportsSpec(target=target, within=timedelta(seconds=1))})

        def note_who_asks(_done: threading.Event) -> None:
            silent.settimeout(LONGEST_PAUSE)
            with silent.accept()[0], (tmp_path / "acts").open("a") as file:
                file.write("asked\n")

        with meanwhile(note_who_asks):
            assert hooks.pull(run, hook(run)) == "lever up before gradual-50 passed"
    assert acts(tmp_path) == ["up", "asked"]
    assert hooks.progress(run, hook(run)).is_passed
    names = {each.name for each in shared_files.every(run.site.store, "bench") if each.problem}
    assert "rollback/bench-cutover-1/rollback.sh" in names


def test_an_undo_does_not_overtake_the_lever_that_still_acts(
    run: CutoverRun, tmp_path: Path
) -> None:
    """The rollback waits until the lever's process says how it ended, not its time limit."""
    lever = run.site.plan.levers["up"]
    slow = lever.model_copy(update={"command": [
        "sh", "-c", f"touch {tmp_path}/acting; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; "
        f"echo up >> {tmp_path}/acts"]})
    run.site.plan.levers["up"] = slow
    pulled: list[str] = []
    undone: list[str] = []
    with meanwhile(lambda _done: pulled.append(hooks.pull(run, hook(run)))):
        clock.poll_until((tmp_path / "acting").exists, bool, seconds=60, pause=0.02)
        back = rolled_back(run.site)
        with meanwhile(lambda _done: undone.append(undoing.undo_hooks(back))):
            assert acts(tmp_path) == []
            (tmp_path / "go").touch()
    assert acts(tmp_path) == ["up", "down"]
    assert pulled == ["lever up before gradual-50 passed"]
    assert undone == ["undone, newest first: down (before gradual-50 hook 1)"]


def test_a_lever_whose_process_was_killed_is_undone_after_its_time_limit(
    run: CutoverRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says how it ended; by then it has."""
    hooks.begin(run, hook(run))
    began = clock.now()
    back = rolled_back(run.site)
    (found,) = left(run.site)
    assert found.settled_at - found.began_at == timedelta(seconds=35)
    later = found.settled_at + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert "down" in undoing.undo_hooks(back)
    assert acts(tmp_path) == ["down"]
    assert began < later


def test_hooks_that_have_begun_are_not_amended(run: CutoverRun) -> None:
    """Before the first one they may be changed; nobody was moved in either case."""
    stage = {"percent": 50, "soak": 0, "hooks": {"before": [{"lever": "more", "undo": "less"}]}}
    document = run.site.plan.model_dump(mode="json", by_alias=True)
    document["phases"] = [{"phase": "gradual", "stages": [stage]}]
    other = Plan.model_validate(document)
    assert any("hooks" in each for each in amending.propose(run.site, other).changes)
    hooks.pull(run, hook(run))
    assert begun(run.site, run.id) == [STAGE]
    with pytest.raises(Refused, match="hooks of stage gradual-50 cannot be changed"):
        amending.propose(run.site, other)


def test_what_the_plan_no_longer_has_is_said(run: CutoverRun, tmp_path: Path) -> None:
    """The others are undone all the same."""
    for number in (1, 2):
        hooks.pull(run, hook(run, number))
    del run.site.plan.levers["less"]
    back = rolled_back(run.site)
    told = undoing.undo_hooks(back)
    assert "not undone: before gradual-50 hook 2: the plan has no lever less any more" in told
    assert acts(tmp_path) == ["up", "more", "down"]
    known = steps.one(run.site.store, "bench", back.subject, back.UNDO)
    assert known is not None
    assert known.status is StepStatus.FAILED


def test_hooks_without_a_way_back_are_not_carried_out(run: CutoverRun, tmp_path: Path) -> None:
    """`rollback.sh` cannot be written: the hook has failed, and people are asked."""
    (tmp_path / "rollback").write_text("a file where a folder should be")
    assert "rollback.sh cannot be written" in hooks.pull(run, hook(run))
    assert acts(tmp_path) == []
    assert hooks.progress(run, hook(run)).status is StepStatus.FAILED


def test_a_rollback_that_comes_late_takes_nothing_from_the_next_cutover(tmp_path: Path) -> None:
    """Its run was cancelled, people recovered and began anew, and then it was continued."""
    with opened(tmp_path) as run:
        site = run.site
        hooks.pull(run, hook(run))
        late = rolled_back(site)
        cutovers.finish(site.store, run.id, CutoverStatus.ROLLED_BACK, outcome="it burns",
                        now=clock.now())
        routing.change(site.store, site.migration, Change(
            mode=Mode.BASELINE_ONLY, is_by_person=True), Author("ann", "mended"), now=clock.now())
        again = cutovers.begin(site.store, site.migration, flow_run_id="two", now=clock.now())
        next_run = CutoverRun(site, again, "two")
        hooks.pull(next_run, hook(next_run, 2))
        assert "down (before gradual-50 hook 1)" in undoing.undo_hooks(late)
        assert acts(tmp_path) == ["up", "more", "down"]
        for step in (rollback_steps.clean_up, rollback_steps.restore):
            assert "not done because people went on since" in step(late)
        assert late.known("clean up").status is StepStatus.FAILED

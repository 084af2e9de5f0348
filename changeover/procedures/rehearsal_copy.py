"""A rehearsal of the rollback: everything for real, but on a copy of the state.

A scratch store and a gateway of its own on a free port stand in for the real ones: the users of the
copy are moved to the candidate, and brought back by step 1 and then by `rollback.sh`. Levers are
not pulled and files not moved; it is seen that both could be.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from changeover import cleanup, clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause, RollbackSeverity
from changeover.domain.routing import Change, Mode
from changeover.errors import ChangeoverError, Unreachable
from changeover.gateway import reaching
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import PATIENT_SECONDS, Gateway
from changeover.machine.ports import free_port
from changeover.plan.model import Plan
from changeover.procedures import rollback, rollback_script, traffic
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans, routing
from changeover.store.engine import Store

UP_WITHIN = 60.0
STEP_1_SECONDS = 1.5
"""Step 1 must be done in this time."""
STEP_1_TRIES = 3
ANSWER_SECONDS = 20.0
SCRIPT_SECONDS = 60.0
"""`rollback.sh` must be done in this time, besides bringing back a baseline out of use."""


def rehearse(plan: Plan, log: Callable[[str], None], *, base: Path | None = None) -> list[str]:
    """Rehearse the rollback and return one sentence for each thing that would go wrong.

    Args:
        plan: The migration's plan; both systems must run.
        log: Given a line for everything that is done.
        base: The plan's folder, for what is relative in it.
    """
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="changeover-rehearsal-") as folder:
        try:
            with _copy(plan, Path(folder)) as copy:
                problems += _bring_back(copy, log)
                problems += _by_script(copy, log)
        except ChangeoverError as error:
            problems.append(str(error))
    problems += _levers(plan)
    problems += _files(plan, log, base)
    return problems


@contextmanager
def _copy(plan: Plan, folder: Path) -> Iterator[Site]:
    """Start a gateway of its own and a store for a plan whose traffic nobody uses."""
    listen = f"127.0.0.1:{free_port()}"
    copy = plan.model_copy(
        # no shadow: the copy's users are nobody's, and copies of them would reach the candidate;
        # no group: a rehearsal waits for no other migration, and takes none along
        update={"routing": plan.routing.model_copy(update={"listen": listen}), "shadow": None,
                "group": None})
    store = Store.open(f"sqlite:///{folder / 'store.db'}", create=True)
    plans.register(store, copy, source="rehearsal", now=clock.now())
    gateway = Gateway(GatewayFiles(folder / "gateway"), patience=PATIENT_SECONDS)
    gateway.prepare(copy, routing.read(store, copy.migration))
    with (folder / "envoy.log").open("wb") as log:
        envoy = subprocess.Popen(envoy_command(gateway.files), stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, start_new_session=True)
    try:
        _await(gateway.admin.is_alive, "the rehearsal's gateway did not start")
        yield Site(Home(folder), copy, store, gateway)
    finally:
        # asked first: Envoy ends its connections
        envoy.terminate()
        try:
            envoy.wait(10)
        except subprocess.TimeoutExpired:
            envoy.kill()
            envoy.wait()
        store.close()


def _bring_back(copy: Site, log: Callable[[str], None]) -> list[str]:
    """Move everyone to the candidate and roll back, as a trigger would.

    What took too long is tried again: a machine that is busy for a moment is no fault of the plan.
    """
    problems = []
    # half and everyone: routes of both kinds must give way
    for title, change in (("half of the users", Change(mode=Mode.GRADUAL, weight=5_000)),
                          ("everyone", Change(mode=Mode.CANDIDATE_ONLY))):
        for _ in range(STEP_1_TRIES):
            seconds, found = _step_1(copy, change)
            log(f"step 1 with {title} on the candidate took {seconds * 1000:.0f} ms")
            if seconds <= STEP_1_SECONDS:
                break
        else:
            found.append(f"step 1 took {seconds:.1f} s, longer than {STEP_1_SECONDS} s")
        problems += found
    return problems


def _step_1(copy: Site, change: Change) -> tuple[float, list[str]]:
    """Move users and roll back; return the seconds that step 1 took, and what was wrong."""
    _move(copy, change)
    began = time.monotonic()
    done = rollback.start(copy, Cause("rehearsal", "rehearsal", RollbackSeverity.MEDIUM))
    seconds = time.monotonic() - began
    problems = [] if done.publication else [f"step 1 is not confirmed: {done.problem}"]
    problems += _not_served(copy.plan)
    _move(copy, Change(mode=Mode.BASELINE_ONLY, is_by_person=True))
    return seconds, problems


def _move(copy: Site, change: Change) -> None:
    if change.mode is Mode.CANDIDATE_ONLY:  # nobody goes there from the baseline at once
        _move(copy, Change(mode=Mode.GRADUAL, weight=5_000))
    traffic.move(copy, change, Author("rehearsal", "rehearsal"))


def _not_served(plan: Plan) -> list[str]:
    """Return why a request through the copy is not answered by a baseline that is well."""
    url = reaching.gateway_address(plan) + plan.systems.baseline.health
    try:
        with reaching.new_gateway_client(plan, timeout=ANSWER_SECONDS) as client:
            status = client.get(url).status_code
    except httpx.HTTPError as error:
        return [f"after the rollback the gateway gives no answer ({type(error).__name__})"]
    return [] if status < 400 else [f"after the rollback the baseline answers {status}"]


def _by_script(copy: Site, log: Callable[[str], None]) -> list[str]:
    """Bring everyone back with `rollback.sh` and nothing else."""
    _move(copy, Change(mode=Mode.CANDIDATE_ONLY))
    files = copy.home.gateway_files
    script = rollback_script.write_rollback_script(copy.plan, files, copy.home.root / "rescue")
    disable = copy.plan.cutover.disable_baseline
    limit = SCRIPT_SECONDS + (disable.undo_within.total_seconds() if disable else 0)
    try:
        done = subprocess.run(
            ["/bin/sh", str(script), "rehearsal"], capture_output=True, text=True, timeout=limit,
            # a poor environment, as it may be when everything else is down
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, check=False)
    except subprocess.TimeoutExpired:
        return [f"{rollback_script.SCRIPT} took longer than {limit:g} s"]
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [""]
        return [f"{rollback_script.SCRIPT} ended with {done.returncode}: {last[0]}"]
    log(f"{rollback_script.SCRIPT} brought everyone back")
    return _not_served(copy.plan)


def _levers(plan: Plan) -> list[str]:
    """Return which levers could not be pulled: a program is missing, a system does not answer."""
    disable = plan.cutover.disable_baseline
    hooks = [hook.undone_by for stage in plan.stages()
             for hook in (*stage.hooks.before, *stage.hooks.after) if hook.undone_by]
    names = dict.fromkeys([*hooks, *plan.rollback.restore, *(disable.undo if disable else [])])
    problems = []
    for name in names:
        lever = plan.levers[name]
        if lever.command:
            program = lever.command[0]
            # `python` is this program's own, for `rollback.sh` too
            if program != "python" and shutil.which(program) is None:
                problems.append(f"lever {name}: there is no program {program}")
            continue
        system = plan.system(lever.of or "candidate")
        try:
            reaching.get(system, "/", timeout=ANSWER_SECONDS)
        except httpx.HTTPError as error:
            problems.append(f"lever {name}: {system.url} does not answer ({type(error).__name__})")
    return problems


def _files(plan: Plan, log: Callable[[str], None], base: Path | None) -> list[str]:
    """Return what the clean-up would leave to a person."""
    spec = plan.rollback
    if not spec.cleanup:
        return []
    problems = cleanup.check_patterns(spec.roots, spec.cleanup, base=base)
    if problems:
        return problems
    found = cleanup.survey(
        cleanup.Cleanup(spec.roots, spec.cleanup, since=None, any_age=True, base=base))
    log(f"clean-up would move {len(found.found)} files and folders, and leave "
         f"{len(found.refused)}")
    return []


def _await(condition: Callable[[], bool], problem: str) -> None:
    if not clock.poll_until(condition, bool, seconds=UP_WITHIN, pause=0.05):
        raise Unreachable(problem)

"""Starting beside what runs already: nothing of it is ended that nobody asked to end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from changeover.domain.routing import System
from changeover.errors import EnvironmentProblem, Refused
from changeover.machine.environment import FRUGAL
from changeover.procedures import levers
from changeover.site.home import Home
from changeover.site.prefect_api import TRIGGERS_VARIABLE
from changeover.supervisor.child import Child
from changeover.supervisor.stack import Settings, Stack
from changeover.supervisor.up import running
from tests.integration.conftest import make_plan
from tests.support.processes import free_port

pytestmark = pytest.mark.integration


def stack_of(home: Home, listen: int, reports: int) -> Stack:
    """Return a supervisor's processes, not started."""
    plan = make_plan(routing={"listen": f"127.0.0.1:{listen}"})
    settings = Settings(
        home.root / "plan.yaml", free_port(), reports, f"127.0.0.1:{free_port()}")
    return Stack(home, plan, settings, lambda _: None)


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Stack]:
    """What an earlier supervisor left running: the pages of reports."""
    home = Home(tmp_path / "home")
    home.create()
    found = stack_of(home, free_port(), free_port())
    found.children["reports"].start()
    found.keeper.save()
    yield found
    found.children["reports"].end()


def leave(stack: Stack, supervisor: dict[str, float] | None) -> dict[str, object]:
    """Note another supervisor, or that none runs; return what is noted now."""
    stack.home.save_settings({**stack.home.settings(), "supervisor": supervisor})
    return stack.home.settings()


def test_a_second_supervisor_touches_nothing(earlier: Stack) -> None:
    """It is refused before anything is its own to stop."""
    parent = os.getppid()
    noted = leave(earlier, {"pid": parent, "created": psutil.Process(parent).create_time()})
    second = stack_of(earlier.home, free_port(), earlier.settings.reports_port)
    with pytest.raises(Refused, match="runs already"), running(second):
        raise AssertionError("it runs")
    assert earlier.children["reports"].is_alive
    assert earlier.home.settings() == noted


def test_a_start_that_fails_leaves_running_what_it_took_over(earlier: Stack) -> None:
    """Its port is taken: the message says so, and what users have stays."""
    noted = leave(earlier, None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        second = stack_of(earlier.home, other.getsockname()[1], earlier.settings.reports_port)
        with pytest.raises(EnvironmentProblem, match="is in use"), running(second):
            raise AssertionError("it runs")
    assert earlier.children["reports"].is_alive
    assert earlier.home.settings()["processes"] == noted["processes"]


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Child]:
    """A gateway that runs on without its supervisor."""
    child = Child("envoy", ["sleep", "600"], tmp_path / "log")
    child.start()
    yield child
    child.end()


def test_a_home_with_the_users_of_others_is_refused(tmp_path: Path, left: Child) -> None:
    """Their gateway would get the routes of this migration, at their address."""
    home = Home(tmp_path / "home")
    home.create()
    assert left.process is not None
    entry = {"pid": left.process.pid, "created": left.process.create_time()}
    for settings, told in (
        ({"node": "edge-1", "migration": "shop"}, "belongs to gateway node edge-1 of shop"),
        ({"migration": "shop", "processes": {"envoy": entry}},
         "has the gateway of shop, which serves its users still"),
    ):
        home.save_settings(settings)
        with pytest.raises(Refused, match=told) as refused, \
                running(stack_of(home, free_port(), free_port())):
            raise AssertionError("it runs")
        assert "Give bench a home of its own" in str(refused.value)
        assert left.is_alive


def test_only_our_own_processes_are_told_to_save_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the gateway, nor the systems, nor what a lever starts pays for it with speed."""
    home = Home(tmp_path / "home")
    home.create()
    stack = stack_of(home, free_port(), free_port())
    frugal = {name for name, child in stack.children.items() if FRUGAL.items() <= child.env.items()}
    assert frugal >= {"observer", "console", "worker", "reports", "prefect-server"}
    assert frugal.isdisjoint({"envoy", *System})
    monkeypatch.setenv("MALLOC_ARENA_MAX", FRUGAL["MALLOC_ARENA_MAX"])
    written = tmp_path / "variables"
    script = "import os, sys; open(sys.argv[1], 'w').write(' '.join(os.environ))"
    lever = {"command": ["python", "-c", script, str(written)]}
    assert levers.pull(make_plan(levers={"show": lever}), "show") == ""
    assert "PATH" in written.read_text().split()
    assert "MALLOC_ARENA_MAX" not in written.read_text().split()


def test_the_load_service_is_started_only_for_a_plan_with_load(tmp_path: Path) -> None:
    """Everybody else pays for no process."""
    hooks = {"during": [{"load": "steady"}]}
    loaded = make_plan(
        suites={"steady": [{"kind": "load", "rates": [1]}]},
        phases=[{"phase": "gradual", "stages": [{"percent": 50, "soak": 0, "hooks": hooks}]}])
    settings = Settings(tmp_path / "plan.yaml", free_port(), free_port(), "127.0.0.1:1")
    has_load = ["load" in Stack(Home(tmp_path), plan, settings, lambda _: None).children
                for plan in (loaded, make_plan())]
    assert has_load == [True, False]


def test_automations_are_off_unless_somebody_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their listener can block the server's SQLite for a minute."""
    stack = stack_of(Home(tmp_path), free_port(), free_port())
    monkeypatch.delenv(TRIGGERS_VARIABLE, raising=False)
    assert stack.prefect_env()[TRIGGERS_VARIABLE] == "false"
    monkeypatch.setenv(TRIGGERS_VARIABLE, "true")
    assert stack.prefect_env()[TRIGGERS_VARIABLE] == "true"

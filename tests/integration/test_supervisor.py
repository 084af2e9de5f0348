"""Starting beside what runs already: nothing of it is ended that nobody asked to end."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from changeover.domain.routing import System
from changeover.errors import EnvironmentProblem, Refused, Unreachable
from changeover.gateway.process import envoy_program
from changeover.machine.break_glass_token import TOKEN_VARIABLE
from changeover.machine.environment import FRUGAL
from changeover.machine.ports import is_free
from changeover.procedures import levers
from changeover.site.home import HOME_VARIABLE, Home
from changeover.site.prefect_api import TRIGGERS_VARIABLE
from changeover.supervisor import leftovers, prefect_server
from changeover.supervisor.child import Child
from changeover.supervisor.stack import Settings, Stack
from changeover.supervisor.up import running
from tests.integration.conftest import make_plan
from tests.support.processes import free_port, wait_for
from tests.support.processes import running as beside

pytestmark = pytest.mark.integration


def stack_of(home: Home, listen: int, reports: int, **settings_: Any) -> Stack:
    """Return a supervisor's processes, not started."""
    plan = make_plan(routing={"listen": f"127.0.0.1:{listen}"})
    settings = Settings(
        home.root / "plan.yaml", free_port(), reports, f"127.0.0.1:{free_port()}", **settings_)
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


SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def flow_run(earlier: Stack) -> Iterator[Child]:
    """A flow run of the earlier supervisor's worker."""
    child = Child("flow", [*SLEEP, "prefect.engine"], earlier.home.logs / "flow.log",
                  {HOME_VARIABLE: str(earlier.home.root)})
    child.start()
    yield child
    child.end()


def test_a_start_without_prefect_changes_nothing(
    earlier: Stack, flow_run: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that others run is away: what an earlier start left is known and runs still."""
    noted = leave(earlier, {"pid": 1, "created": 1.0})  # killed
    monkeypatch.setattr(prefect_server, "await_others",
                        partial(prefect_server.await_others, seconds=0))
    second = stack_of(earlier.home, free_port(), earlier.settings.reports_port,
                      prefect_url=f"http://127.0.0.1:{free_port()}/api", store_url="sqlite:///x")
    with pytest.raises(Unreachable, match="does not answer"), running(second):
        raise AssertionError("it runs")
    assert earlier.children["reports"].is_alive
    assert flow_run.is_alive
    assert earlier.home.settings() == noted
    assert earlier.home.secrets() == {}


def test_what_is_not_to_run_any_more_is_ended(earlier: Stack, flow_run: Child) -> None:
    """As the worker after `up --no-worker`; another process of the same number is not."""
    worker, others = (Child(name, SLEEP, earlier.home.logs / "log") for name in ("worker", "load"))
    for child in (worker, others):
        child.start()
    earlier.children["worker"] = worker
    earlier.keeper.save()
    noted = earlier.home.settings()
    assert others.process is not None
    noted["processes"]["load"] = {"pid": others.process.pid, "created": 1.0}
    earlier.home.save_settings(noted)
    try:
        second = stack_of(earlier.home, free_port(), earlier.settings.reports_port,
                          has_worker=False)
        leftovers.adopt(second.home, second.children)
        leftovers.end_others(second.home, second.children, lambda _: None)
        assert not worker.is_alive
        assert not flow_run.is_alive
        assert others.is_alive
        assert earlier.children["reports"].is_alive
    finally:
        for child in (worker, others):
            child.end()


def test_a_service_with_another_command_is_started_again(earlier: Stack) -> None:
    """The report pages at another port; with the same one they are only taken over."""
    same = stack_of(earlier.home, free_port(), earlier.settings.reports_port)
    leftovers.adopt(same.home, same.children)
    same.launch("reports")
    assert earlier.children["reports"].is_alive
    port = free_port()
    second = stack_of(earlier.home, free_port(), port)
    leftovers.adopt(second.home, second.children)
    second.launch("reports")
    try:
        assert not earlier.children["reports"].is_alive
        wait_for(lambda: not is_free("127.0.0.1", port), what="the pages at the other port")
    finally:
        second.children["reports"].end()


def test_the_gateway_and_the_systems_are_only_taken_over(earlier: Stack, left: Child) -> None:
    """Users would notice, whatever the command says now."""
    assert left.process is not None
    noted = leave(earlier, None)
    noted["processes"] = {"envoy": {"pid": left.process.pid, "digest": "of another command",
                                    "created": left.process.create_time()}}
    earlier.home.save_settings(noted)
    second = stack_of(earlier.home, free_port(), free_port())
    assert leftovers.adopt(second.home, second.children) == {"envoy"}
    second.launch("envoy")
    assert left.is_alive


def test_an_envoy_of_others_at_the_address_is_named(earlier: Stack, tmp_path: Path) -> None:
    """Its file lies in no home: nothing that was taken over ends for it."""
    port = free_port()
    (tmp_path / "envoy.yaml").write_text(
        f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}")
    command = ["sh", "-c", f'cd "{tmp_path}" && exec "{envoy_program()}" --config-path envoy.yaml '
               "--use-dynamic-base-id --concurrency 1"]
    with beside(command, tmp_path / "envoy.log"):
        wait_for(lambda: not is_free("127.0.0.1", port), what="Envoy")
        second = stack_of(earlier.home, port, earlier.settings.reports_port)
        with pytest.raises(EnvironmentProblem, match="envoy"), running(second):
            raise AssertionError("it runs")
    assert earlier.children["reports"].is_alive


def test_what_nobody_foresaw_counts_as_a_failed_start(
    earlier: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends nothing that an earlier supervisor left."""
    second = stack_of(earlier.home, free_port(), earlier.settings.reports_port)
    monkeypatch.setattr(second, "_require_ports", lambda _: {}[0])
    with pytest.raises(KeyError), running(second):
        raise AssertionError("it runs")
    assert earlier.children["reports"].is_alive


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


def test_no_process_inherits_the_token_for_break_glass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither one that outlives the supervisor nor any other; the rest of the environment it has.
    """
    monkeypatch.setenv(TOKEN_VARIABLE, "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("OTHER", "there")
    for outlives in (False, True):
        log = tmp_path / f"{outlives}.log"
        child = Child("env", ["/bin/sh", "-c", "env; echo end; exec sleep 60"], log,
                      {"OWN": "too"}, outlives=outlives)
        child.start()
        try:
            wait_for(lambda log=log: "end\n" in log.read_text(), what="it has started")
            said = log.read_text()
        finally:
            child.end()
        assert "OTHER=there" in said and "OWN=too" in said and TOKEN_VARIABLE not in said


def test_flows_are_taken_over_in_a_server_of_its_own_or_when_it_is_said(tmp_path: Path) -> None:
    """A new database takes the place of the old one; elsewhere they may be another home's."""
    home, url = Home(tmp_path / "home"), "http://prefect.example:4200/api"
    own = stack_of(home, 1, 2)
    others = stack_of(home, 1, 2, prefect_url=url)
    asked = stack_of(home, 1, 2, prefect_url=url, takes_over=True)
    said = [[option for option in stack._preparation().command[-2:] if option.startswith("--")]
            for stack in (own, others, asked)]
    assert said == [["--own-server"], ["--pool"], ["--take-over"]]

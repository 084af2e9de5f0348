"""Whatever is wrong: one clear message, its exit code, no traceback, nothing half done."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from changeover.clock import now
from changeover.gateway.files import describe_journal
from changeover.gateway.publish import Gateway
from changeover.plan.load import load_plan
from changeover.site.home import Home
from changeover.store import plans, routing
from changeover.store.engine import Store
from tests.support.processes import ROOT, free_port
from tests.support.ready_store import ready_store
from tests.support.site import PLAN, QUICK

pytestmark = pytest.mark.integration


def changeover(*arguments: str, code: int) -> str:
    """Run a command; check its exit code and that it explains itself."""
    done = subprocess.run(
        [sys.executable, "-m", "changeover.cli", *arguments], cwd=ROOT, capture_output=True,
        text=True, timeout=300, check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    return text


@pytest.fixture
def plan_path(tmp_path: Path) -> Path:
    """A plan that can work, on free ports."""
    path = tmp_path / "site.yaml"
    ports = {name: free_port() for name in ("baseline", "candidate", "listen")}
    path.write_text(PLAN.format(root=ROOT, **ports) + QUICK)
    return path


@pytest.fixture
def home(tmp_path: Path, plan_path: Path) -> Home:
    """A home as `up` leaves it, with nothing running."""
    found = Home(tmp_path / "home")
    found.create()
    plan = load_plan(plan_path)
    store = ready_store(found.store_url)
    plans.register(store, plan, source="test", now=now())
    Gateway(found.gateway_files).prepare(plan, routing.read(store, "site"))
    store.close()
    found.save_settings({"migration": "site", "api_url": "http://127.0.0.1:1/api"})
    return found


def up(plan: Path, tmp_path: Path, *more: str, code: int) -> str:
    """Start a site that cannot come up."""
    return changeover("up", "--plan", str(plan), "--home", str(tmp_path / "home"),
                      "--prefect-port", str(free_port()), "--reports-port", str(free_port()),
                      *more, code=code)


def test_wrong_plan_names_line_and_remedy(tmp_path: Path, plan_path: Path) -> None:
    """The file, the line, what was found, what is meant."""
    plan_path.write_text(plan_path.read_text().replace("percent: 50", "percnt: 50"))
    text = changeover("plan", "check", str(plan_path), code=2)
    assert f"{plan_path}: the plan was refused" in text
    assert "did you mean 'percent'?" in text


def test_missing_plan_is_told(tmp_path: Path) -> None:
    """A file that is not there."""
    assert "cannot be read" in changeover("plan", "check", str(tmp_path / "no.yaml"), code=2)


def test_port_in_use_is_told_before_anything_starts(tmp_path: Path, plan_path: Path) -> None:
    """Who needs the port, and how to choose another."""
    listen = load_plan(plan_path).routing.listen
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(listen.split(":")[1])))
        other.listen()
        text = up(plan_path, tmp_path, code=7)
    assert f"is in use by {psutil.Process().name()} (process {os.getpid()}), the gateway needs it" \
        in text
    assert "change routing.listen" in text
    assert not (tmp_path / "home" / "store.db").exists()


def test_dead_system_is_told_with_the_end_of_its_log(tmp_path: Path, plan_path: Path) -> None:
    """A system that does not come up stops `up`, and nothing is left running."""
    broken = plan_path.read_text().replace("tests.support.upstream, candidate", "no.such.module, c")
    plan_path.write_text(broken)
    text = up(plan_path, tmp_path, code=6)
    assert "candidate ended; its log ends" in text
    assert "No module named" in text
    assert Home(tmp_path / "home").settings()["processes"] == {}


def test_missing_program_is_told(tmp_path: Path, plan_path: Path) -> None:
    """A command that cannot be started."""
    broken = plan_path.read_text().replace("command: [python,", "command: [/no/such/program,")
    plan_path.write_text(broken)
    assert "cannot be started" in up(plan_path, tmp_path, code=7)


def test_unusable_home_is_told(tmp_path: Path, plan_path: Path) -> None:
    """A home that cannot be a directory."""
    (tmp_path / "file").write_text("a file")
    assert "cannot be written" in up(plan_path, tmp_path / "file", code=7)


def test_unreachable_prefect_is_told(home: Home) -> None:
    """Approving needs Prefect; the message says that traffic stays as it is."""
    text = changeover("status", "--home", str(home.root), code=0)
    assert "gateway: does not answer" in text
    text = changeover("up", "--plan", str(home.root.parent / "site.yaml"), "--home",
                      str(home.root), "--reports-port", str(free_port()),
                      "--prefect-url", "http://127.0.0.1:1/api", code=6)
    assert "Prefect's server cannot be used: it does not answer" in text
    assert "http://127.0.0.1:1/api" in text


@pytest.mark.parametrize("url", ["prefect.example", "http://", "http://me:hush@127.0.0.1:4200/api"])
def test_address_of_prefect_without_a_password(tmp_path: Path, plan_path: Path, url: str) -> None:
    """A password on the command line would be seen by everyone on the machine."""
    text = changeover("up", "--plan", str(plan_path), "--home", str(tmp_path / "home"),
                      "--prefect-url", url, code=2)
    assert "PREFECT_API_AUTH_STRING" in text
    assert "hush" not in text


def test_locked_database_is_told(home: Home) -> None:
    """Another process holds the store: nothing is changed, the exit code is 5."""
    holder = Store.open(home.store_url)
    with holder.begin():
        text = changeover("maintenance", "on", "--reason", "x", "--home", str(home.root), code=5)
    assert "stayed locked by " in text
    assert f"(process {os.getpid()}): " in text


def test_rollback_with_a_locked_store_moves_everyone_all_the_same(home: Home) -> None:
    """The store is only busy: no break glass; it is told who keeps it, and it follows."""
    holder = Store.open(home.store_url)
    with holder.begin():
        text = changeover("rollback", "--reason", "x", "--home", str(home.root), code=0)
    assert ("everyone is at the baseline; the store is busy, the observer records it there later"
            in text)
    assert f"(process {os.getpid()}): " in text
    journal = Gateway(home.gateway_files).journal()
    assert journal is not None
    assert "the store follows" in describe_journal(journal)


def test_wrong_database_version_is_told(home: Home) -> None:
    """A newer program's store is left alone."""
    store = Store.open(home.store_url)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    text = changeover("status", "--home", str(home.root), code=5)
    assert "schema version 9999" in text


def test_nothing_started_is_told(tmp_path: Path) -> None:
    """Commands without an `up` say what to do first."""
    text = changeover("status", "--home", str(tmp_path / "none"), code=2)
    assert "changeover up --plan FILE" in text


def test_unknown_fault_is_told(tmp_path: Path) -> None:
    """The demo names the faults and stages there are."""
    text = changeover("demo", "--fault", "boredom@50", "--home", str(tmp_path / "d"), code=2)
    assert "errors, latency, hang, crash, memory" in text


def test_demo_leaves_other_peoples_directories_alone(tmp_path: Path) -> None:
    """A directory that is not a demo's is never emptied."""
    (tmp_path / "precious.txt").write_text("keep me")
    assert "not a demo's" in changeover("demo", "--home", str(tmp_path), code=7)
    assert (tmp_path / "precious.txt").exists()


def test_break_glass_works_with_nothing_running(home: Home) -> None:
    """No Prefect, no store, no Envoy: the routes to the baseline are in place all the same."""
    (home.root / "store.db").unlink()
    text = changeover("rollback", "--reason", "all is lost", "--break-glass", "--home",
                      str(home.root), code=0)
    assert "everyone is at the baseline" in text
    assert Gateway(home.gateway_files).journal()["reason"] == "all is lost"

"""A command that runs no flow starts at once: it imports nothing that it does not need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from changeover import clock
from changeover.cli.main import COMMANDS
from changeover.plan.load import load_plan
from changeover.site.home import Home
from changeover.store import plans
from changeover.store.engine import Store
from tests.support.processes import ROOT

HEAVY = {
    "prefect", "pandas", "numpy", "scipy", "matplotlib", "httpx", "aiohttp", "fastapi", "uvicorn",
    "apprise", "rich", "alembic", "rapidfuzz", "selectolax", "brotli", "zstandard", "google",
    "jinja2", "uvloop",
}
PROGRAM = """\
import json, sys
from changeover.cli.main import main
for line in sys.stdin:
    code = main(json.loads(line))
    packages = {name.partition(".")[0] for name in sys.modules}
    print("ran:", code, *packages, *(name for name in sys.modules if ".dialects." in name))
"""
STARTS_MUCH = {"up", "demo", "validate"}
"""They start processes or make requests, whatever they are asked."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = Home(tmp_path_factory.mktemp("home"))
    found.create()
    plan = load_plan(ROOT / "plans" / "metadata.yaml")
    store = Store.open(found.store_url, create=True)
    plans.register(store, plan, source="documents.yaml", now=clock.now())
    store.close()
    found.save_settings({"migration": plan.migration, "api_url": "http://127.0.0.1:9/api",
                         "ui_url": "http://127.0.0.1:9"})
    return found.root


def imported(*commands: list[str], code: int = 0) -> set[str]:
    """Run commands in one process and return the packages that they imported."""
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=lines, capture_output=True,
                          text=True, check=True, cwd=ROOT)
    ran = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ran:")]
    assert [int(found[0]) for found in ran] == [code] * len(commands), done.stderr
    return set(ran[-1])


def test_looking_imports_no_more_than_the_store(home: Path) -> None:
    looks = ("status", "status --output json", "history", "history --verify", "divergences",
             "flags list", "explain alice", "token list", "backup list", "env")
    found = imported(*([*look.split(), "--home", str(home)] for look in looks))
    assert not found & HEAVY


def test_status_reads_no_yaml_and_one_dialect_of_sql_only(home: Path) -> None:
    """A script may ask every second: what it needs not is a tenth of its start."""
    found = imported(["status", "--home", str(home)])
    assert not found & {"yaml", "sqlalchemy.dialects.postgresql"}


def test_a_decision_that_is_refused_imports_no_more_than_the_store(home: Path) -> None:
    decision = ["approve", "promote", "--approver", "alice", "--home", str(home)]
    assert not imported(decision, code=4) & HEAVY


def test_checking_a_plan_imports_not_even_the_store() -> None:
    found = imported(["plan", "check", "plans/metadata.yaml"])
    assert not found & (HEAVY | {"sqlalchemy"})


def test_help_imports_not_even_the_plan() -> None:
    assert not imported(["--help"]) & (HEAVY | {"sqlalchemy", "pydantic"})


def test_the_help_of_every_command_imports_nothing_heavy() -> None:
    helps = ([command, "--help"] for command in sorted(set(COMMANDS) - STARTS_MUCH))
    assert not imported(*helps) & HEAVY

"""Every kind of check against real systems: what passes, what fails, what nobody can say."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from changeover.checks.suites import load
from changeover.checks.suites.result import CheckResult
from changeover.checks.suites.run import run_check, run_suite, verdict_of
from changeover.checks.suites.target import CheckTarget
from changeover.domain.verdict import Verdict
from changeover.plan.model import Plan
from changeover.plan.suites import AnyCheck
from changeover.plan.systems import ProcessSpec
from tests.integration.conftest import make_plan
from tests.support.processes import free_port, running, upstream, wait_for

pytestmark = [pytest.mark.integration]
SPECS: TypeAdapter[AnyCheck] = TypeAdapter(AnyCheck)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheckTarget]:
    """Two systems that answer."""
    folder = tmp_path_factory.mktemp("pair")
    plan = make_plan(comparison={"ignore": ["$.served_by", "$.headers"]})
    ports = [int(plan.system(name).url.rsplit(":", 1)[1]) for name in ("baseline", "candidate")]
    with upstream("baseline", ports[0], folder), \
            upstream("candidate", ports[1], folder) as candidate:
        (folder / "candidate.pid").write_text(str(candidate.pid))
        yield CheckTarget(plan, folder)


def result_of(target: CheckTarget, **spec: Any) -> CheckResult:
    """Carry out one check."""
    return run_check(target, 0, "one", SPECS.validate_python(spec)).result


def of(target: CheckTarget, verdict: Verdict, **spec: Any) -> str:
    """Carry out one check, see its verdict, and return the reason."""
    found = result_of(target, **spec)
    assert found.verdict is verdict, found
    return found.reason


def test_http_sees_status_headers_values_and_likeness(pair: CheckTarget) -> None:
    """Everything that is as expected passes, the baseline's body under the plan's rules too."""
    of(pair, Verdict.PASS, kind="http", path="/a", has_headers={"content-type": "^application/"},
       values={"$.served_by": "candidate"}, contains="served_by", like_baseline=True, within="5s")


def test_http_lists_everything_that_is_wrong(pair: CheckTarget) -> None:
    """One look tells all: status, header, missing and wrong value."""
    found = result_of(pair, kind="http", path="/a", status=[204, 304], has_headers={"etag": "."},
                    values={"$.served_by": "x", "$.no.such": 1})
    assert found.verdict is Verdict.FAIL
    assert len(found.evidence["problems"]) == 4


def test_http_of_a_dead_system_fails(pair: CheckTarget) -> None:
    """No answer is a failure of the system, not of the check."""
    reason = of(pair, Verdict.FAIL, kind="http", of="gateway", path="/")
    assert reason == "gateway does not answer GET / (ConnectError)"


@pytest.mark.parametrize(("command", "verdict", "told"), [
    (["python", "-c", "print('fine')"], Verdict.PASS, "ended with 0: fine"),
    (["python", "-c", "print('3 failed'); raise SystemExit(2)"], Verdict.FAIL, "not 0: 3 failed"),
    (["no-such-program"], Verdict.INCONCLUSIVE, "cannot be started"),
])
def test_command_is_judged_by_its_exit_code(
    pair: CheckTarget, command: list[str], verdict: Verdict, told: str
) -> None:
    """The last line of its output is in the reason."""
    assert told in of(pair, verdict, kind="command", command=command)


def test_command_that_hangs_is_ended_with_its_children(pair: CheckTarget) -> None:
    """Nothing of it is left after its time."""
    spec = {"kind": "command", "command": ["sh", "-c", "sleep 987 & echo $!; wait"]}
    found = wait_for(
        lambda: (one := result_of(pair, **spec, timeout="1s")).evidence["output"] and one,
        what="a child before its time is over")
    assert found.verdict is Verdict.FAIL
    child = int(found.evidence["output"])
    wait_for(lambda: not os.path.exists(f"/proc/{child}"), what="the end of the child")  # noqa: PTH110


def test_replay_compares_recorded_traffic(pair: CheckTarget) -> None:
    """Similarity and the number of answers that differ are judged."""
    (pair.folder / "requests.jsonl").write_text('{"path": "/a"}\n{"path": "/b"}\n')
    of(pair, Verdict.PASS, kind="replay", file="requests.jsonl", divergence_rate=0)
    strict = CheckTarget(make_plan(systems=pair.plan.systems.model_dump(mode="json")), pair.folder)
    reason = of(strict, Verdict.FAIL, kind="replay", file="requests.jsonl", divergence_rate=0)
    assert "2 answers differ" in reason


def test_replay_against_systems_that_do_not_answer_says_nothing(pair: CheckTarget) -> None:
    """Two closed ports fail alike; that is no agreement. A closed candidate alone fails."""
    (pair.folder / "closed.jsonl").write_text('{"path": "/a"}\n')
    spec = {"kind": "replay", "file": "closed.jsonl"}
    both = CheckTarget(make_plan(), pair.folder)
    assert "nothing to compare with" in of(both, Verdict.INCONCLUSIVE, **spec)
    systems = make_plan().systems.model_copy(update={"baseline": pair.plan.systems.baseline})
    alone = CheckTarget(make_plan(systems=systems.model_dump(mode="json")), pair.folder)
    assert "1 failed at the candidate" in of(alone, Verdict.FAIL, **spec)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load that waits for answers, and takes a system that stalls for one that keeps up."""
    monkeypatch.setattr(load, "LONGEST_ANSWER", 100.0)
    monkeypatch.setattr(load, "KEEPS_UP", 0.005)


def test_load_measures_both_systems_at_the_same_rates(pair: CheckTarget, patient: None) -> None:
    """Rates, percentiles and errors of both are in the evidence."""
    found = result_of(pair, kind="load", paths=["/a", "/b"], rates=[20, 40], each="500ms",
                    error_rate=0)
    assert found.verdict is Verdict.PASS, found
    assert [row["rate"] for row in found.evidence["baseline"]] == [20, 40]
    assert all(row["failed"] == 0 for row in found.evidence["candidate"])
    assert found.evidence["knee"] is None


def test_load_finds_the_knee(pair: CheckTarget, tmp_path: Path) -> None:
    """A system that takes 0.3 s for a request fails a p99 of 100 ms, and says at which rate."""
    port = free_port()
    plan = make_plan()
    slow = plan.model_copy(update={"systems": plan.systems.model_copy(update={
        "candidate": plan.systems.candidate.model_copy(
            update={"url": f"http://127.0.0.1:{port}"})})})
    with upstream("slow", port, tmp_path):
        result_of(CheckTarget(slow, tmp_path), kind="http", method="POST", path="/fault?kind=slow")
        reason = of(CheckTarget(slow, tmp_path), Verdict.FAIL, kind="load", rates=[5], each="1s",
                    baseline=False, latency_p99="100ms")
    assert "at 5 requests a second, longer than 100 ms" in reason


def test_soak_watches_the_memory_of_the_process(pair: CheckTarget, patient: None) -> None:
    """A system that keeps nothing does not leak; without a process nobody can say."""
    watched = pair.plan.systems.candidate.model_copy(
        update={"process": ProcessSpec(pid_file=str(pair.folder / "candidate.pid"))})
    systems = pair.plan.systems.model_copy(update={"candidate": watched})
    target = replace(pair, plan=pair.plan.model_copy(update={"systems": systems}))
    spec = {"kind": "soak", "rate": 20, "duration": "8s", "growth": "2GB"}
    found = wait_for(lambda: (one := result_of(target, **spec)).evidence["readings"] >= 15 and one,
                     what="enough readings")
    assert found.verdict is Verdict.PASS, found
    assert found.evidence["load"]["failed"] == 0
    reason = of(pair, Verdict.INCONCLUSIVE, kind="soak", of="baseline", duration="1s")
    assert "has no process to watch" in reason


def test_security_names_what_an_attacker_finds(pair: CheckTarget) -> None:
    """Missing headers, open paths and accepted methods are listed together."""
    found = result_of(pair, kind="security", demands_authentication=["/admin"], certificate="30d",
                    refused_methods=["TRACE"])
    assert found.verdict is Verdict.FAIL
    told = "; ".join(found.evidence["problems"])
    for part in ("is not https", "/admin answers 200 without credentials", "TRACE / is answered",
                 "header x-content-type-options is None"):
        assert part in told


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A small SQLite database at migration 7."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript("create table orders (id integer primary key, total numeric);"
                                 "create table alembic_version (version_num text);"
                                 "insert into alembic_version values ('7');"
                                 "insert into orders values (1, 10), (2, 20);")
    return path


def test_database_is_looked_at(pair: CheckTarget, database: Path) -> None:
    """Reachable, at its migration, with its tables, writable; and nothing is left of the probe."""
    url = f"sqlite:///{database}"
    of(pair, Verdict.PASS, kind="database", database={"url": url}, revision="7",
       tables=["orders"], writable=True)
    with sqlite3.connect(database) as connection:
        names = [row[0] for row in connection.execute("select name from sqlite_master")]
    assert sorted(names) == ["alembic_version", "orders"]
    reason = of(pair, Verdict.FAIL, kind="database", database={"url": url}, revision="8",
                tables=["users"])
    assert reason == "table users is missing; is at migration 7, not 8"
    of(pair, Verdict.FAIL, kind="database", database={"url": "sqlite:////nowhere/x.db"})


def test_data_consistency_names_the_rows(pair: CheckTarget, database: Path, tmp_path: Path) -> None:
    """The changed row is named with its column."""
    other = tmp_path / "copy.db"
    other.write_bytes(database.read_bytes())
    sides = {"baseline": {"url": f"sqlite:///{database}", "table": "orders"},
             "candidate": {"url": f"sqlite:///{other}", "table": "orders"}, "key": "id"}
    of(pair, Verdict.PASS, kind="data_consistency", **sides)
    with sqlite3.connect(other) as connection:
        connection.execute("update orders set total = 21 where id = 2")
    found = result_of(pair, kind="data_consistency", **sides)
    assert found.verdict is Verdict.FAIL
    assert found.evidence["differing"][0]["key"] == "2"


def test_resource_looks_at_the_machine(pair: CheckTarget) -> None:
    """Memory, disk and ports that are as wished pass; the others are listed."""
    candidate = pair.url("candidate").removeprefix("http://")
    of(pair, Verdict.PASS, kind="resource", memory="1MB", disk={".": "1MB"}, cpu=1,
       listening=[candidate], free_ports=[f"127.0.0.1:{free_port()}"])
    reason = of(pair, Verdict.FAIL, kind="resource", memory="900000GB", free_ports=[candidate],
                disk={"no-such": "1MB"})
    assert "less than" in reason and "is in use" in reason and "no-such is not there" in reason


def test_gateway_and_flags_need_a_running_migration(pair: CheckTarget) -> None:
    """Without one nobody can say; that is never a pass."""
    of(pair, Verdict.INCONCLUSIVE, kind="gateway")
    of(pair, Verdict.INCONCLUSIVE, kind="flags", expect={"a": True})


@pytest.mark.parametrize(("kind", "problems"), [
    ("new", ["GET /totals is missing"]), ("broken", ["GET /totals is missing", "Server error"]),
])
def test_openapi_is_compared_and_called(tmp_path: Path, kind: str, problems: list[str]) -> None:
    """An operation that is gone, and one that breaks on made-up input, are both found."""
    plan = make_plan()
    ports = [int(plan.system(name).url.rsplit(":", 1)[1]) for name in ("baseline", "candidate")]
    command = [sys.executable, "-m", "tests.support.openapi_service"]
    with running([*command, "old", str(ports[0])], tmp_path / "old.log"), \
            running([*command, kind, str(ports[1])], tmp_path / "new.log"):
        target = CheckTarget(plan, tmp_path)
        for host in ("baseline", "candidate"):
            wait_for(
                lambda host=host: result_of(target, kind="http", of=host).verdict is Verdict.PASS)
        found = result_of(target, kind="openapi", examples=20)
    assert found.verdict is Verdict.FAIL, found
    for problem in problems:
        assert problem in found.reason
    assert ("Server error" in found.reason) is (kind == "broken")


def test_openapi_check_that_calls_nothing_is_inconclusive(tmp_path: Path) -> None:
    """No data is no pass: the methods that the document has are named."""
    (tmp_path / "api.json").write_text('{"openapi": "3.0.3", "paths": {"/a": {"post": {}}}}')
    found = result_of(CheckTarget(make_plan(), tmp_path), kind="openapi", document="api.json",
                    baseline_document="api.json")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no operation was called: the document has POST" in found.reason


def test_suite_reports_all_failures_in_order_and_load_runs_alone(pair: CheckTarget) -> None:
    """The worst verdict counts, and names of checks are unique."""
    suite = [{"kind": "http", "path": "/a"}, {"kind": "http", "path": "/a", "status": 404},
             {"kind": "load", "rates": [5], "each": "200ms", "baseline": False},
             {"kind": "gateway"}]
    document = pair.plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    plan = Plan.model_validate({**document, "suites": {"staging": suite}})
    runs = run_suite(CheckTarget(plan, pair.folder), "staging")
    assert [str(run.result.verdict) for run in runs] == ["pass", "fail", "pass", "inconclusive"]
    assert [run.name for run in runs][:2] == ["http candidate /a", "http candidate /a 2"]
    assert verdict_of(runs) is Verdict.FAIL
    others = max(run.started_at for run in runs if run.kind != "load")
    assert next(run.started_at for run in runs if run.kind == "load") > others


def test_command_validate_ends_with_1_and_writes_junit(pair: CheckTarget, tmp_path: Path) -> None:
    """What CI reads is there after a failure, too."""
    plan = tmp_path / "plan.yaml"
    document = pair.plan.model_copy(update={"suites": {}}).model_dump_json(
        exclude_none=True, exclude_defaults=True, by_alias=True)
    plan.write_text(document[:-1] + ', "suites": {"staging": [{"kind": "http", "status": 404}]}}')
    done = subprocess.run(
        [sys.executable, "-m", "changeover.cli", "validate", "staging", "--plan", str(plan),
         "--junit", str(tmp_path / "junit.xml")],
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert "status 200, not 404" in done.stdout
    assert "failures=\"1\"" in (tmp_path / "junit.xml").read_text()


def test_several_suites_run_in_order_and_are_one_report(
    pair: CheckTarget, tmp_path: Path
) -> None:
    """Each runs to its end though another failed; a misspelt one is said before any runs."""
    plan = tmp_path / "plan.yaml"
    document = pair.plan.model_copy(update={"suites": {}}).model_dump_json(
        exclude_none=True, exclude_defaults=True, by_alias=True)
    plan.write_text(document[:-1] + ', "suites": {"first": [{"kind": "http", "status": 404}], '
                    '"second": [{"kind": "http", "path": "/a"}]}}')

    def validate(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "changeover.cli", "validate", *arguments, "--plan", str(plan)],
            capture_output=True, text=True, timeout=300, check=False)

    done = validate("first", "second", "--junit", str(tmp_path / "junit.xml"))
    assert done.returncode == 1, done.stderr
    assert done.stdout.rstrip().endswith("2 suites: fail (first fail, second pass)")
    assert (tmp_path / "junit.xml").read_text().count("<testsuite ") == 2
    told = json.loads(validate("first", "second", "--output", "json").stdout)
    assert [(each["suite"], each["verdict"]) for each in told["suites"]] == [
        ("first", "fail"), ("second", "pass")]
    wrong = validate("first", "thrid")
    assert wrong.returncode == 2
    assert "has no suite 'thrid'" in wrong.stderr
    assert not wrong.stdout

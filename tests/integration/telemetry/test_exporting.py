"""What one process sends to a real OTLP receiver, and what that costs when nobody receives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.collector import attributes, collector
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, wait_for

pytestmark = pytest.mark.integration
WORK = """
import logging
from changeover import telemetry
from changeover.site.service_main import log_to_stderr
from changeover.telemetry.traces import trace_of

log_to_stderr("test")
whole, part = trace_of("a", "cutover", 1), trace_of("a", "cutover", 1, "beta")
part = trace_of("a", "cutover", 1, "beta", follows=whole)
with telemetry.span("the cause"):
    with telemetry.span("stage beta", part, is_root=True, attributes={"changeover.cutover": 1}):
        logging.getLogger("changeover.test").warning("within the stage")
for number in range(3000):
    with telemetry.span("step", part):
        telemetry.note(number=number)
print("done", telemetry.is_on(), telemetry.problem())
"""
# FastAPI imports the interfaces, which do nothing by themselves
LOADED = """
import sys, changeover.observer.service, changeover.console.app
print([name for name in sys.modules if name.startswith(
    ("opentelemetry.sdk", "opentelemetry.exporter"))])
"""
NOT_INSTALLED = "import sys\nsys.modules['opentelemetry.sdk'] = None\n"


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with these variables and no others of OpenTelemetry."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", program], env={**env, **environment}, cwd=ROOT,
        capture_output=True, text=True, timeout=LONGEST_PAUSE, check=True)


def test_spans_of_one_work_are_one_trace_and_its_log_lines_name_it() -> None:
    """The root has the id that all know, and links to its cause and to the whole."""
    with collector() as server:
        done = run(WORK, **server.environment, OTEL_BSP_MAX_QUEUE_SIZE="5000")
        assert done.stdout.startswith("done True")
        wait_for(lambda: server.logs and server.named("stage beta") and server.named("step"))
        (root,), (cause,) = server.named("stage beta"), server.named("the cause")
        steps = server.named("step")
    assert {service for service, _ in server.spans} == {"changeover-test"}
    assert root.parent_span_id == b""
    assert {(step.trace_id, step.parent_span_id) for step in steps} == {
        (root.trace_id, root.span_id)}
    assert cause.span_id in {link.span_id for link in root.links}
    assert len(root.links) == 2
    assert attributes(root)["changeover.cutover"] == "1"
    (line,) = [each for each in server.logs if each.body.string_value == "within the stage"]
    assert (line.trace_id, line.span_id) == (root.trace_id, root.span_id)
    assert f"within the stage trace_id={root.trace_id.hex()}\n" in done.stderr


def test_a_collector_that_hangs_holds_up_neither_the_work_nor_its_end() -> None:
    """The process has ended while the collector still has not answered."""
    with collector() as server:
        server.is_slow = True
        done = run(WORK, **server.environment)
        assert not server.over.is_set()
    assert done.stdout.startswith("done True")


def test_a_collector_that_is_not_there_breaks_nothing() -> None:
    """It is said in the log, and everything else goes on."""
    address = f"http://127.0.0.1:{free_port()}"
    done = run(WORK, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    assert done.stdout.startswith("done True")
    assert "Traceback" not in done.stdout


def test_without_an_exporter_nothing_of_it_is_imported() -> None:
    """What is off costs no time and no memory."""
    assert run(WORK + LOADED).stdout.splitlines() == ["done False ", "[]"]


def test_missing_packages_are_named_and_nothing_else_changes() -> None:
    """With the command that installs them."""
    done = run(NOT_INSTALLED + WORK, OTEL_TRACES_EXPORTER="otlp")
    assert done.stdout.startswith("done False")
    assert done.stderr.count("pip install 'changeover[otel]'") == 1


def test_a_share_of_traces_is_sent_whole_or_not_at_all(tmp_path: Path) -> None:
    """`OTEL_TRACES_SAMPLER` decides for a trace, in every process alike."""
    with collector() as server:
        run(WORK.replace('"beta"', '"half"'), **server.environment,
            OTEL_TRACES_SAMPLER="parentbased_always_off")
        wait_for(lambda: server.logs, what="its log lines")
    assert server.spans == []

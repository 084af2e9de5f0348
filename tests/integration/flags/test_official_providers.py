"""The official OFREP providers of Python and Node work unchanged against our service."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from changeover.domain.routing import Mode
from tests.integration.flags.conftest import Site
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).with_name("ofrep.mjs")
USER = EvaluationContext("user-7")
EXPECTED = [
    ("boolean", "useNewArchitecture", True, "candidate", "SPLIT"),
    ("boolean", "enable_ai", False, "disabled", "STATIC"),
    ("string", "log_level", "WARNING", "value", "STATIC"),
    ("string", "changeover.system", "candidate", "candidate", "SPLIT"),
    ("number", "memory_limit_mb", 6656, "value", "STATIC"),
    ("number", "threshold", 0.05, "value", "STATIC"),
    ("object", "ocr", {"engine": "open-ocr", "retries": 5}, "open", "SPLIT"),
]
DEFAULTS: dict[str, Any] = {"boolean": False, "string": "", "number": 0, "object": {}}


@pytest.fixture
def moved(console: Site) -> Site:
    """The console, in gradual 25 %."""
    console.move(Mode.GRADUAL, 2_500)
    wait_for(lambda: console.post("/useNewArchitecture",
                                  {"context": {"targetingKey": "user-7"}}).json()["value"] is True)
    return console


@pytest.fixture
def client(moved: Site) -> Iterator[OpenFeatureClient]:
    """The official Python provider, with the SDK."""
    api.set_provider_and_wait(OFREPProvider(moved.url, timeout=LONGEST_PAUSE), "official")
    yield api.get_client("official")
    api.clear_providers()


@pytest.mark.parametrize(("kind", "flag", "value", "variant", "reason"), EXPECTED)
def test_official_python_provider_gets_every_kind(
    client: OpenFeatureClient, kind: str, flag: str, value: Any, variant: str, reason: str
) -> None:
    """Value, variant and reason arrive as they are."""
    name = {"number": "float" if isinstance(value, float) else "integer"}.get(kind, kind)
    default = 0.0 if name == "float" else DEFAULTS[kind]
    found = getattr(client, f"get_{name}_details")(flag, default, USER)
    assert (found.value, found.variant, found.reason, found.error_code) == (
        value, variant, Reason[reason], None)
    assert found.flag_metadata["why"]


def test_official_python_provider_gets_the_protocols_errors(client: OpenFeatureClient) -> None:
    """An unknown flag and another type give the application its default, with the code."""
    unknown = client.get_boolean_details("nope", True, USER)
    assert (unknown.value, unknown.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    other = client.get_boolean_details("log_level", True, USER)
    assert (other.value, other.error_code) == (True, ErrorCode.TYPE_MISMATCH)
    wrong = client.get_boolean_details("enable_ai", True, EvaluationContext(3))  # type: ignore[arg-type]
    assert (wrong.value, wrong.error_code) == (True, ErrorCode.INVALID_CONTEXT)


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the official Node packages."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error",
         "@openfeature/server-sdk@1", "@openfeature/ofrep-provider@0.1"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copy(SCRIPT, folder)
    return folder


def ask_node(folder: Path, url: str, questions: list[list[Any]]) -> list[dict[str, Any]]:
    """Return the official Node provider's details for each question."""
    done = subprocess.run(
        ["node", SCRIPT.name, url], cwd=folder, capture_output=True, text=True, timeout=120,
        input="".join(f"{json.dumps(question)}\n" for question in questions), check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_official_node_provider_gets_every_kind(moved: Site, node_modules: Path) -> None:
    """Another language's provider works unchanged, errors included."""
    questions = [[kind, flag, "user-7", DEFAULTS[kind]] for kind, flag, *_ in EXPECTED]
    found = ask_node(node_modules, moved.url, [
        *questions, ["boolean", "nope", "user-7", True], ["boolean", "log_level", "user-7", True],
        ["boolean", "paying", "user-7", False, {"plan": "gold"}]])
    assert [(one["value"], one["variant"], one["reason"]) for one in found[:-3]] == [
        tuple(row[2:]) for row in EXPECTED]
    assert [(one["value"], one.get("errorCode")) for one in found[-3:]] == [
        (True, "FLAG_NOT_FOUND"), (True, "TYPE_MISMATCH"), (True, None)]

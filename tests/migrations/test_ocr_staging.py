"""Text recognition: the staging environment, with ports and pages of its own, and its six suites.

In a file of its own: beside a whole stack, pages take longer than the suites allow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from changeover.plan.model import Plan
from changeover.supervisor import examples
from examples.ocr import pages
from tests.support.commands import changeover
from tests.support.processes import running as process
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
TAKES_MINUTES = 2
EXAMPLE = "ocr"
SUITES = ("infrastructure", "unit", "pipeline", "performance", "compatibility", "security")


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, Path]]:
    """The two systems of the staging environment, and the file of its plan."""
    folder = tmp_path_factory.mktemp("staging")
    prepared = examples.prepare(EXAMPLE, examples.load(EXAMPLE), environment="staging")
    document = prepared.plan.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude={"environments", "environment"})
    with ExitStack() as ends:
        for name in ("baseline", "candidate"):
            _, *arguments = document["systems"][name]["process"]["command"]
            command = [each.replace("ocr-data", str(folder / "ocr-data")) for each in arguments]
            started = ends.enter_context(
                process([sys.executable, *command], folder / f"{name}.log"))
            pid_file = folder / f"{name}.pid"
            pid_file.write_text(str(started.pid))
            document["systems"][name]["process"] = {"pid_file": str(pid_file)}
        file = folder / "ocr.yaml"
        file.write_text(json.dumps(document))
        for spec in (prepared.plan.systems.baseline, prepared.plan.systems.candidate):
            wait_for(lambda url=spec.url: _is_healthy(url), seconds=60, what=spec.name)
        yield prepared.plan, file


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_the_six_suites_of_staging_pass_and_are_one_report(
    staging: tuple[Plan, Path], tmp_path: Path
) -> None:
    """Infrastructure, units, the pipeline, performance, compatibility, security."""
    _, file = staging
    said = changeover(file.parent / "home", "validate", *SUITES, "--plan", str(file),
                      "--junit", str(tmp_path / "report.xml"))
    told = ", ".join(f"{suite} pass" for suite in SUITES)
    assert f"6 suites: pass ({told})" in said
    report = (tmp_path / "report.xml").read_text()
    assert [f'name="{suite}"' in report for suite in SUITES] == [True] * len(SUITES)


def test_staging_has_other_pages_than_production(staging: tuple[Plan, Path]) -> None:
    """Test data: what is read there is no user's."""
    plan, _ = staging
    read = httpx.get(f"{plan.systems.candidate.url}/pages/plain-0000/text", timeout=60).json()
    assert read["text"] == pages.load(pages.STAGING_SEED)["plain-0000"].text

"""prefect.yaml for any work pool: the same deployments, made for workers on other machines."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from changeover.errors import EnvironmentProblem

FILE = "prefect.yaml"


def for_pool(pool: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of prefect.yaml with every deployment in a work pool.

    A worker elsewhere has no folder of this project: flows are named as modules of the installed
    package, and no step is taken before their import.

    Args:
        pool: Name of the work pool.
        variables: Job variables beside those of prefect.yaml.

    Raises:
        EnvironmentProblem: prefect.yaml is not there.
    """
    whole = yaml.safe_load(_file().read_text())
    deployments = []
    for each in whole["deployments"]:
        kept = {**each.get("work_pool", {}).get("job_variables", {}), **variables}
        path, _, function = str(each["entrypoint"]).partition(":")
        module = path.removesuffix(".py").replace("/", ".")
        deployments.append({
            **each, "entrypoint": f"{module}.{function}", "pull": [],
            "work_pool": {"name": pool, "job_variables": kept}})
    return {"name": whole["name"], "deployments": deployments}


def _file() -> Path:
    """Return where prefect.yaml is: beside the packages, or where the wheel put it."""
    beside = Path(__file__).resolve().parents[1] / FILE
    installed = Path(sys.prefix) / "share" / "changeover" / FILE
    for path in (beside, installed):
        if path.is_file():
            return path
    raise EnvironmentProblem(
        f"{FILE} of Changeover is not installed", where=str(installed),
        next_step="Install the package again")

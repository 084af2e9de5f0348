"""prefect.yaml for any work pool: the same deployments, made for workers on other machines."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from changeover.domain.prefect_owner import own_name, tag
from changeover.errors import EnvironmentProblem

FILE = "prefect.yaml"


def owned(document: Mapping[str, Any], owner: str, *, is_beside: bool = False) -> dict[str, Any]:
    """Return prefect.yaml's content with a database's tag on every deployment.

    Args:
        document: The content.
        owner: The database's own name.
        is_beside: Whether another database has the usual names on the server.
    """
    deployments = []
    for each in document["deployments"]:
        name = own_name(each["name"], owner) if is_beside else each["name"]
        deployments.append({**each, "name": name, "tags": [*each.get("tags", []), tag(owner)]})
    return {**document, "deployments": deployments}


def for_here() -> dict[str, Any]:
    """Return the content of prefect.yaml.

    Raises:
        EnvironmentProblem: It is not there.
    """
    return dict(yaml.safe_load(_file().read_text()))


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
    whole = for_here()
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

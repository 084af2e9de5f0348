"""`changeover deploy`: what it refuses, and what it makes of prefect.yaml."""

from __future__ import annotations

import pytest
from prefect.flows import load_flow_from_entrypoint

from blocks.deployments import for_pool
from changeover.cli.deploy import job_variables
from changeover.errors import InvalidInput


def test_deployments_elsewhere_are_modules_that_need_no_folder() -> None:
    """A worker imports them from the installed package."""
    made = for_pool("machines", {"image": "registry/changeover:1"})["deployments"]
    assert {each["work_pool"]["name"] for each in made} == {"machines"}
    assert all(each["pull"] == [] for each in made)
    assert all(each["work_pool"]["job_variables"]["image"] == "registry/changeover:1"
               and each["work_pool"]["job_variables"]["command"] == "python -m prefect.engine"
               for each in made)
    cutover = next(each for each in made if "cutover" in each["entrypoint"])
    assert load_flow_from_entrypoint(cutover["entrypoint"]).name == "cutover"


def test_job_variables_may_be_texts_or_json() -> None:
    """An address has an equals sign, a number is one."""
    assert job_variables(["image=a/b:1?c=d", "cpu=2", 'env={"A": "b"}']) == {
        "image": "a/b:1?c=d", "cpu": 2, "env": {"A": "b"}}


@pytest.mark.parametrize("given", ["image", "=1", "two words=1"])
def test_what_is_no_job_variable_is_refused(given: str) -> None:
    """With what is allowed."""
    with pytest.raises(InvalidInput, match="NAME=VALUE"):
        job_variables([given])

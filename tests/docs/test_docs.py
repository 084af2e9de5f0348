"""What is written is true: commands, flows, deployments, blocks, metrics, links."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import click
import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from blocks import ALL_BLOCKS
from changeover import errors
from changeover.cli.main import COMMANDS, cli
from changeover.plan.load import parse_plan
from changeover.plan.metrics import METRICS
from changeover.plan.sources import SOURCE_KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_in_the_readme_and_has_help(name: str) -> None:
    """A command that nobody can find does not exist."""
    assert re.search(rf"`(changeover )?{name}\b|, `{name}\b", README), name
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert COMMANDS[name][1] == command.get_short_help_str(limit=200)
    children = command.commands.values() if isinstance(command, click.Group) else [command]
    for child in children:
        assert child.help
        assert child.epilog and "xample" in child.epilog


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_every_deployment_fits_its_flow(deployment: dict) -> None:
    """prefect.yaml names flows that exist, with parameters that they take."""
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert f"`{flow.name}`" in README
    assert flow.description
    taken = inspect.signature(flow.fn).parameters
    assert set(deployment.get("parameters", {})) <= set(taken)
    assert deployment["description"] and deployment["tags"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])
def test_every_field_of_a_form_explains_itself_and_offers_what_can_be_chosen(
    deployment: dict
) -> None:
    """A person who starts a run in Prefect's page has nothing else to read."""
    path, name = deployment["entrypoint"].split(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    schema = parameter_schema(flow.fn).model_dump()
    for field, shown in schema["properties"].items():
        assert shown.get("description", "").endswith("."), field
        choices = [each for each in shown.get("anyOf", [shown]) if "enum" in each or "$ref" in each]
        assert bool(choices) == (field in ("scope", "suite", "severity")), field
    # what has no default must be filled in, and the page says so
    taken = inspect.signature(flow.fn).parameters.values()
    assert set(schema["required"]) == {
        each.name for each in taken if each.default is each.empty}


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda b: b.__name__)
def test_every_block_explains_itself(block: type) -> None:
    """Blocks have a description, an example, and a sentence for every field."""
    assert block._description.endswith(".")
    assert "```python" in (block.__doc__ or "")
    for name, field in block.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_every_exit_code_is_in_the_readme() -> None:
    """Programs can rely on them."""
    codes = {
        value.exit_code for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.ChangeoverError)
    }
    for code in codes | {0, 3, 130}:
        assert re.search(rf"\b{code} \w", README), code


def test_every_metric_is_documented() -> None:
    """A gate can be written from the document alone."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    for name, metric in METRICS.items():
        assert f"`{name}`" in text
        assert metric.description
        assert metric.words and "_" not in metric.words


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
                         ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """No page points at what is not there."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_example_of_a_source_is_a_plan_that_loads() -> None:
    """What is copied from the page works, for each kind of source."""
    page = (ROOT / "docs" / "sources.md").read_text()
    examples = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", page, re.S)]
    for example in examples:
        systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}"}
                   for name, port in (("baseline", 1), ("candidate", 2))}
        phases = [{"phase": "gradual", "gates": list(example.get("gates", {})),
                   "stages": [{"percent": 50, "soak": "1h"}]}]
        whole = {"migration": "shop", "systems": systems, "phases": phases, **example}
        assert parse_plan(yaml.safe_dump(whole), "docs/sources.md").sources
    kinds = {next(iter(example["sources"].values()))["kind"] for example in examples}
    assert kinds == set(SOURCE_KINDS)

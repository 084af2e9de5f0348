"""A plan's environments: what wins, where each value comes from, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from changeover.cli.main import cli
from changeover.errors import InvalidPlan
from changeover.plan import environments
from changeover.plan.load import load_plan, parse_plan, settings_of
from changeover.plan.units import without_secrets
from tests.core.plan.test_load import GOOD, ROOT

INVOICES = ROOT / "plans" / "invoices.yaml"
MIB = 1 << 20
names = st.sampled_from("abcd")
documents = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=12)
mappings = st.dictionaries(names, documents, max_size=4)


def merged(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    found = environments.merged({**base, "environments": {"e": overlay}}, "e")
    return {k: v for k, v in found.items() if k not in ("environments", "environment")}


@pytest.mark.parametrize(("environment", "mib", "limit"), [
    ("development", 4096, 2), ("testing", 2048, 1), ("production", 6656, 1), (None, 6656, 1)])
def test_the_seeds_values_hold_in_each_environment(
    environment: str | None, mib: int, limit: int
) -> None:
    """Memory's red line and the AI's concurrency limit, base values where none says otherwise."""
    plan = load_plan(INVOICES, environment)
    assert plan.health.memory_limits["ocr"].limit == mib * MIB
    assert plan.health.limits == {"ai_concurrency_limit": limit}
    assert plan.systems.candidate.concurrency == limit


@given(base=mappings, overlay=mappings)
def test_what_the_environment_says_holds_and_the_rest_stays(
    base: dict[str, Any], overlay: dict[str, Any]
) -> None:
    """For each name: mappings are merged, everything else is the environment's, else the plan's."""
    def check(found: Any, below: Any, above: Any) -> None:
        if isinstance(below, dict) and isinstance(above, dict):
            assert set(found) == set(below) | set(above)
            for name in found:
                if name in above and name in below:
                    check(found[name], below[name], above[name])
                else:
                    assert found[name] == (above if name in above else below)[name]
        else:
            assert found == above

    check(merged(base, overlay), base, overlay)


@given(base=mappings)
def test_an_environment_that_says_nothing_changes_nothing(base: dict[str, Any]) -> None:
    """The plan alone, and the plan in an empty environment, are the same."""
    assert merged(base, {}) == base


def test_null_takes_a_value_away() -> None:
    """The default holds then, and `plan show` says so."""
    text = GOOD.replace("name: new,", "name: new, concurrency: 4,") + (
        "environments: {testing: {systems: {candidate: {concurrency: null}}}}\n")
    assert parse_plan(text, "x").systems.candidate.concurrency == 4
    assert parse_plan(text, "x", "testing").systems.candidate.concurrency is None


@pytest.mark.parametrize(("overlay", "expected"), [
    ("{testing: {phases: [{phase: full, soak: 1h}]}}",
     "phase full needs phase beta or gradual before it"),
    ("{testing: {systems: {candidate: {concurency: 1}}}}", "did you mean 'concurrency'?"),
    ("{testing: {migration: other}}", "'migration' cannot differ between environments"),
    ("{testing: {gates: null}}", "gate 'slo' is not defined"),
])
def test_the_merged_plan_is_validated_as_a_whole(overlay: str, expected: str) -> None:
    """What only the merge makes wrong is refused, with the line of the environment."""
    text = GOOD + f"environments: {overlay}\n"
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(text, "own.yaml", "testing")
    assert expected in str(refused.value)


def test_an_unknown_environment_is_refused_with_those_known() -> None:
    """No typo silently takes the base values."""
    with pytest.raises(InvalidPlan, match=r"'prod' is unknown; known are development, testing"):
        load_plan(INVOICES, "prod")


def source(environment: str | None, path: str) -> tuple[Any, str, Any]:
    (found,) = [s for s in settings_of(INVOICES, environment) if s.path == path]
    return found.value, found.source, found.plan


def test_every_value_names_who_said_it() -> None:
    """The environment before the plan, the plan before the default."""
    limit, health = "health.limits.ai_concurrency_limit", "systems.candidate.health"
    assert source("development", limit) == (2, "development", 1)
    assert source("testing", limit) == (1, "testing", 1)
    assert source(None, limit) == (1, "plan", None)
    assert source("testing", "systems.candidate.concurrency") == (1, "plan", None)
    assert source("testing", health) == ("/health", "default", None)


def test_values_shown_are_the_plans_that_runs() -> None:
    """The paths and values are a plan again: nothing is left out or made up."""
    shown = {s.path: s.value for s in settings_of(INVOICES, "testing")}
    whole = load_plan(INVOICES, "testing").model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"environments", "environment"})
    assert shown["phases[2].stages[1].percent"] == whole["phases"][2]["stages"][1]["percent"]
    assert shown["health.memory_limits.ocr.limit"] == 2048 * MIB
    assert {path.split(".")[0].split("[")[0] for path in shown} == set(whole)


@pytest.mark.parametrize("output", ["text", "json"])
def test_plan_show_prints_precedence_and_no_secret(tmp_path: Path, output: str) -> None:
    """Addresses of webhooks and users of databases are hidden."""
    path = tmp_path / "own.yaml"
    path.write_text(GOOD + "notify: [{webhook: 'https://hooks.example/s3cret'}, "
                    "{apprise: 'tgram://s3cret/7'}]\n"
                    "environments: {testing: {health: {limits: {ai: 1}}}}\n")
    done = CliRunner().invoke(cli, ["plan", "show", str(path), "--env", "testing", "--output",
                                    output])
    assert done.exit_code == 0, done.output
    assert "s3cret" not in done.output
    assert "https://hooks.example/***" in done.output
    if output == "json":
        found = {s["path"]: s["source"] for s in json.loads(done.output)["settings"]}
        assert found["health.limits.ai"] == "testing"
    else:
        assert yaml.safe_load(done.output)["health.limits.ai"] == 1


@pytest.mark.parametrize(("text", "shown"), [
    ("http://127.0.0.1:8101", "http://127.0.0.1:8101"),
    ("https://h.example/a/b?c=d", "https://h.example/***"),
    ("https://h.example?token=d", "https://h.example/***"),
    ("postgresql://u:p/a@ss@h:5/db", "postgresql://***@h:5/***"),
    ("sqlite:///shop.db", "sqlite:///shop.db"),
    ("jsons://user:word@h/x", "jsons://***"),
])
def test_addresses_are_shown_without_secrets(text: str, shown: str) -> None:
    """Scheme and host stay, what may be a password goes."""
    assert without_secrets(f"at {text}") == f"at {shown}"

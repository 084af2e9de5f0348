"""plans/documents.yaml says what its document says, value by value."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from changeover.plan.flags import as_spec
from changeover.plan.health import Issue
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerSpec
from changeover.plan.units import parse_size
from examples.documents.switches import DEFAULTS

PLAN = Path(__file__).parents[3] / "plans" / "documents.yaml"
MB = 10**6


@cache
def plan(environment: str | None = None) -> Plan:
    return load_plan(PLAN, environment)


def trigger(name: str) -> TriggerSpec:
    (found,) = [each for each in plan().triggers if each.name == name]
    return found


def test_flags_are_those_of_the_document() -> None:
    """Eight of the engine, all off; migration control; limits. The engine has the same defaults."""
    flags = plan().flags
    eight = [name for name in flags if name.startswith("enable_")]
    assert len(eight) == 8
    assert all(flags[name] is False for name in eight if name != "enable_node_engine")
    engine = as_spec(flags["enable_node_engine"])
    assert (engine.mirrors, engine.variants) == ("system", {"baseline": False, "candidate": True})
    assert as_spec(flags["shadow_mode"]).variants["other"] is True
    assert (flags["comparison_enabled"], flags["comparison_threshold"],
            flags["rollback_threshold"]) == (True, 0.05, 0.02)
    for name in set(flags) & set(DEFAULTS) - {"enable_node_engine"}:
        assert flags[name] == DEFAULTS[name], name


def test_thresholds_are_those_of_the_document() -> None:
    """10 % below 80 % load; 95 % similar, 5 % different; 2 % errors; 6656 MB; 200, 300 ms; 5 s."""
    found = plan()
    assert found.shadow and found.comparison
    assert (found.shadow.sample, found.shadow.max_load) == (Decimal(10), 0.8)
    assert found.comparison.similarity == 0.95
    assert found.comparison.text["$.text"].cer == 0.05
    alike = {check.metric: check for check in found.gates["alike"]}
    assert alike["similarity"].at_least == 0.95
    assert alike["divergence_rate"].at_most == "5%"
    assert (trigger("errors").above, trigger("errors").action) == ("2%", "rollback")
    assert (trigger("differs").above, trigger("differs").action) == ("5%", "hold")
    assert (trigger("unlike").below, trigger("unlike").action) == (0.95, "alert")
    assert parse_size(trigger("red_line").above) == 6656 * MB
    assert found.health.memory_limits["engine"].limit == 6656 * MB
    assert found.health.limits == {"ai_concurrency_limit": 1}
    pressure = found.health.back_pressure
    assert pressure is not None
    assert (pressure.slow, pressure.frozen, pressure.good_for) == (
        timedelta(milliseconds=200), timedelta(milliseconds=300), timedelta(seconds=5))
    assert (found.health.memory.warning, found.health.memory.critical) == (85, 95)
    assert all(node.slow == timedelta(seconds=5) for node in found.health.nodes.values())


@pytest.mark.parametrize(("environment", "memory", "at_once", "debug", "level"), [
    ("development", 4096, 2, True, "DEBUG"),
    ("testing", 2048, 1, True, "INFO"),
    ("production", 6656, 1, False, "WARNING"),
])
def test_environments_have_the_limits_of_the_document(
    environment: str, memory: int, at_once: int, debug: bool, level: str
) -> None:
    """The same limit in flags, health, gate and trigger: nobody can change one of them alone."""
    found = plan(environment)
    flags = found.flags
    assert (flags["memory_limit_mb"], flags["ai_concurrency_limit"], flags["debug_mode"],
            flags["log_level"]) == (memory, at_once, debug, level)
    assert found.health.limits["ai_concurrency_limit"] == at_once
    bounds = (found.health.memory_limits["engine"].limit, found.gates["red_line"][0].below,
              found.triggers[-1].above)
    assert {parse_size(bound) for bound in bounds} == {memory * MB}
    assert [each.name for each in found.triggers] == [each.name for each in plan().triggers]


def test_clean_up_and_restore_are_those_of_the_document() -> None:
    """Three folders; engine, AI, configuration; four safe flags; four repairs."""
    found = plan().rollback
    assert [Path(root).name for root in found.roots] == [
        "node_engine", "ai_processing", "workflow_cache"]
    assert found.cleanup == [f"{root}/*" for root in found.roots]
    assert found.restore == ["stop_node_engine", "stop_ai_services", "restore_legacy_config"]
    assert found.safe_flags == dict.fromkeys(
        ("enable_node_engine", "enable_ai_nodes", "enable_umi_ocr", "enable_llm_processing"), False)
    repairs = plan().health.repairs
    assert {*repairs} == {Issue.MEMORY_PRESSURE, Issue.NODE_FAILURE, Issue.DATABASE_LOCK,
                          Issue.SERVICE_DOWN}
    assert repairs[Issue.MEMORY_PRESSURE].levers == [
        "collect_garbage", "unload_models", "clear_cache"]
    assert repairs[Issue.NODE_FAILURE].levers == ["restart_node", "reroute_tasks"]

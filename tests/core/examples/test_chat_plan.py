"""plans/chat.yaml says what the strategy says: phases, thresholds, durations, flags, teams."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import pytest

from changeover.domain.routing import Change, Mode, RoutingState, apply
from changeover.domain.stages import change_for
from changeover.flags.evaluate import Evaluator
from changeover.flags.snapshot import of_plan
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from examples.chat.demo import EXAMPLE
from examples.chat.faults import FAULTS
from tests.support.processes import ROOT

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MB = 1_000_000
PHASE_1 = {
    "useNewArchitecture": False, "enableShadowLogging": True, "shadowProcessingEnabled": True,
    "performanceMonitoring": True}
LATER = {
    "useNewArchitecture": True, "enableAGUIEvents": True, "enableVerboseLogging": False,
    "performanceMonitoring": True, "enableShadowLogging": False}


@cache
def plan(environment: str | None = None) -> Plan:
    """Return the plan of an environment."""
    return load_plan(ROOT / "plans" / "chat.yaml", environment)


def test_the_phases_are_those_of_the_strategy() -> None:
    """0 %, beta users, 10, 25, 50, 75, 100 %; the shortest times that its phases name."""
    found = [(stage.key, int(stage.percent), stage.soak / DAY) for stage in plan().stages()]
    assert found == [
        ("shadow", 0, 7), ("beta-0", 0, 14), ("gradual-10", 10, 7), ("gradual-25", 25, 7),
        ("gradual-50", 50, 7), ("gradual-75", 75, 7), ("full", 100, 7)]
    assert plan().stage("beta-0").segments == ("beta",)
    reviews = plan().stage("gradual-50").reviews
    assert reviews is not None
    assert reviews.every == 2 * DAY


@pytest.mark.parametrize(("name", "metric", "bounds", "lasting", "action"), [
    ("errors", "error_rate", (0.005,), 5 * MINUTE, "rollback"),
    ("slow", "latency_p99", (0.5,), 2 * MINUTE, "rollback"),
    ("memory_leak", "memory", (80 * MB,), 0 * MINUTE, "rollback"),
    ("server_errors", "server_error_rate", (0.01,), 0 * MINUTE, "rollback"),
    ("down", "up", (0,), MINUTE / 6, "rollback"),
    ("limited_errors", "error_rate", (0.002,), MINUTE, "rollback"),
    ("errors_warning", "error_rate", (0.002, 0.005), 10 * MINUTE, "hold"),
    ("slow_warning", "latency_p95", (0.165, 0.2), 15 * MINUTE, "hold"),
    ("memory_warning", "memory", (45 * MB, 50 * MB), 10 * MINUTE, "hold"),
    ("complaints", "external.complaints", (3,), 10 * MINUTE, "hold"),
    ("kpi_errors", "error_rate", (0.002,), MINUTE, "alert"),
    ("kpi_p95", "latency_p95", (0.2,), MINUTE, "alert"),
    ("kpi_memory", "memory", (50 * MB,), 10 * MINUTE, "alert"),
    ("kpi_cpu", "cpu_per_request", (1.3,), 60 * MINUTE, "alert"),
    ("kpi_requests", "throughput", (0.95,), 60 * MINUTE, "alert")])
def test_each_trigger_has_its_threshold_and_duration(
    name: str, metric: str, bounds: tuple[float, ...], lasting: timedelta, action: str
) -> None:
    """Critical ones roll back, warnings ask people, alert thresholds alert."""
    (spec,) = [each for each in plan().triggers if each.name == name]
    assert (spec.metric, str(spec.action)) == (metric, action)
    assert spec.bound_values == pytest.approx(bounds)
    assert spec.for_ == lasting


@pytest.mark.parametrize(("gate", "metric", "bound", "value"), [
    ("slo", "error_rate", "below", 0.001), ("slo", "latency_p95", "below", 0.165),
    ("slo", "latency_p95", "ratio_to_baseline", 1.1), ("slo", "memory", "below", 45 * MB),
    ("slo", "cpu_per_request", "ratio_to_baseline", 1.15),
    ("slo", "throughput", "ratio_to_baseline", 1), ("beta", "error_rate", "below", 0.001),
    ("all", "error_rate", "below", 0.001), ("ready", "memory", "below", 45 * MB)])
def test_each_target_is_a_check_over_two_days(
    gate: str, metric: str, bound: str, value: float
) -> None:
    """The targets of the KPI table and of each subphase, over 48 hours."""
    (check,) = [each for each in plan().gates[gate] if (each.metric, each.bound_name) == (
        metric, bound)]
    assert check.bound_values == pytest.approx((value,))
    assert check.over == 2 * DAY


def state_of(stage: str) -> RoutingState:
    """Return the routing state of a stage."""
    before = RoutingState("chat", Mode.GRADUAL, weight=1)
    if stage == "shadow":
        before = RoutingState("chat")
    return apply(before, change_for(plan().stage(stage), plan(), 0))


@pytest.mark.parametrize(("stage", "user", "expected"), [
    ("shadow", {}, PHASE_1), ("beta-0", {"x-cohort": "beta"}, LATER),
    ("beta-0", {}, {**LATER, "useNewArchitecture": False, "enableAGUIEvents": False}),
    ("gradual-75", {}, LATER), ("full", {}, LATER)])
def test_flags_are_those_of_the_phase(
    stage: str, user: dict[str, str], expected: dict[str, bool]
) -> None:
    """Of production: phase 1 shadows, beta users first, then by the user's hash, then everyone."""
    found = Evaluator(of_plan(plan("production"), state_of(stage)))
    # bucket 6856: moved at 75 %, not before
    key = "user-1"
    assert {name: found.evaluate(name, key, user).value for name in expected} == expected


def test_an_emergency_switches_the_new_architecture_off() -> None:
    """Whatever the environment and the user."""
    back = apply(state_of("gradual-75"), Change(mode=Mode.EMERGENCY_ROLLBACK))
    found = Evaluator(of_plan(plan(), back))
    for name in ("useNewArchitecture", "enableAGUIEvents", "enableExperimentalFeatures"):
        assert found.evaluate(name, "user-3", {}).value is False


@pytest.mark.parametrize(("environment", "expected"), [
    ("development", {"useNewArchitecture": True, "enableAGUIEvents": True,
                     "enableVerboseLogging": True, "enablePerformanceMonitoring": True,
                     "enableExperimentalFeatures": True}),
    ("staging", {"useNewArchitecture": True, "enableAGUIEvents": True,
                 "enableVerboseLogging": False, "enablePerformanceMonitoring": True,
                 "enableExperimentalFeatures": False})])
def test_flags_are_those_of_the_environment(environment: str, expected: dict[str, bool]) -> None:
    """Whoever develops has everything on, nobody has to be moved for it."""
    found = Evaluator(of_plan(plan(environment), RoutingState("chat")))
    assert {name: found.evaluate(name, "user-3", {}).value for name in expected} == expected


def test_each_team_is_told_of_what_it_answers_for() -> None:
    """Engineering, devops, product and support."""
    teams = {spec.team: spec.events for spec in plan().notify if spec.team}
    assert set(teams) == {"engineering", "devops", "product", "support"}
    assert "approval.*" in (teams["product"] or [])
    assert "trigger.*" in (teams["engineering"] or [])
    assert "flag.changed" in (teams["devops"] or [])
    assert "rollback.*" in (teams["support"] or [])
    # rolloutProgress: rollout_percentage_changed, NOTIFY_TEAM
    assert all("routing.changed" in (teams[name] or []) for name in ("devops", "support"))


def test_every_fault_of_the_systems_can_be_asked_for() -> None:
    """And the users' own."""
    assert set(EXAMPLE.faults) == {*FAULTS, "complaints"}

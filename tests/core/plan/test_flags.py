"""Flags in plans: every flag that real migrations name can be written, and mistakes are named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.routing import Mode, RoutingState, decide
from changeover.errors import InvalidPlan
from changeover.flags.evaluate import Evaluator
from changeover.flags.snapshot import of_plan
from changeover.plan.flags import Kind, as_document, as_spec, from_document, kind_of
from changeover.plan.load import load_plan, parse_plan
from changeover.plan.model import Plan
from tests.core.plan.test_load import GOOD

PLANS = Path(__file__).parents[3] / "plans"
NAMED = {
    "invoices": """
        enable_node_engine enable_workflow_editor enable_ai_nodes enable_umi_ocr
        enable_llm_processing enable_advanced_ocr enable_api_gateway enable_external_integration
        shadow_mode comparison_enabled comparison_threshold rollback_threshold memory_limit_mb
        ai_concurrency_limit response_time_threshold_ms debug_mode log_level use_opensource_ocr
        disable_google_cloud gradual_rollout_enabled rollout_percentage
        enable_performance_monitoring enable_accuracy_comparison collect_ocr_metrics
        maintenance_mode force_opensource_for_testing""",
    "chat": """
        useNewArchitecture enableShadowLogging shadowProcessingEnabled performanceMonitoring
        enableAGUIEvents enableVerboseLogging enablePerformanceMonitoring
        enableExperimentalFeatures""",
    "agents": "system_mode rollout_percentage use_python_system use_typescript_system",
}
"""The flags that the documents of four real migrations name."""


@pytest.mark.parametrize("name", NAMED)
def test_flags_of_real_migrations_are_in_our_plans(name: str) -> None:
    """Every flag has an answer in every environment and mode."""
    path = PLANS / f"{name}.yaml"
    for environment in (None, *load_plan(path).environments):
        plan = load_plan(path, environment)
        assert set(NAMED[name].split()) <= set(plan.flags)
        for mode in Mode:
            evaluator = Evaluator(of_plan(plan, RoutingState(name, mode=mode)))
            for flag in NAMED[name].split():
                assert evaluator.evaluate(flag, "user-7").value is not None


def answers(plan: Plan, mode: Mode, weight: int = 0) -> dict[str, object]:
    """Return the value of every flag for one user."""
    evaluator = Evaluator(of_plan(plan, RoutingState("x", mode=mode, weight=weight)))
    return {flag: evaluator.evaluate(flag, "user-7").value for flag in evaluator.keys}


def test_environments_of_real_migrations_differ_as_written() -> None:
    """Development is generous, production is strict; what is not said is inherited."""
    found = {environment: answers(load_plan(PLANS / "invoices.yaml", environment), Mode.SHADOW)
             for environment in ("development", "testing", "production")}
    assert [one["memory_limit_mb"] for one in found.values()] == [4096, 2048, 6656]
    assert [one["ai_concurrency_limit"] for one in found.values()] == [2, 1, 1]
    assert [one["log_level"] for one in found.values()] == ["DEBUG", "INFO", "WARNING"]
    assert [one["debug_mode"] for one in found.values()] == [True, True, False]


@pytest.mark.parametrize(("mode", "weight", "expected"), [
    (Mode.BASELINE_ONLY, 0, ("typescript_only", False, True, 0)),
    (Mode.PARALLEL, 0, ("parallel", True, True, 0)),
    (Mode.GRADUAL, 2_500, ("gradual", True, False, 25)),
    (Mode.GRADUAL, 1_000, ("gradual", False, True, 10)),
    (Mode.CANDIDATE_ONLY, 10_000, ("python_only", True, False, 100)),
    (Mode.EMERGENCY_ROLLBACK, 0, ("emergency_rollback", False, True, 0)),
])
def test_modes_of_a_real_migration_show_under_their_own_names(
    mode: Mode, weight: int, expected: tuple[object, ...]
) -> None:
    """The old code base reads its own words, and they are always the routing's."""
    found = answers(load_plan(PLANS / "agents.yaml"), mode, weight)
    assert (found["system_mode"], found["use_python_system"], found["use_typescript_system"],
            found["rollout_percentage"]) == expected


def test_real_migration_without_a_gateway_says_what_is_safe() -> None:
    """The agents' plan: who works in a rollback, and that one failed issue is enough for it."""
    plan = load_plan(PLANS / "agents.yaml")
    assert plan.claims.rollback_on_failure
    evaluator = Evaluator(of_plan(plan, RoutingState("agents", mode=Mode.EMERGENCY_ROLLBACK)))
    for flag, value in {"use_python_system": False, "use_typescript_system": True}.items():
        found = evaluator.evaluate(flag, "acme:shop:42")
        assert (found.value, found.metadata["lockedBy"]) == (value, "emergency_rollback")


@pytest.mark.parametrize(("flags", "problem"), [
    ("{1bad: true}", "1bad"),
    ("{f: [1]}", "[1] is not a flag's value; allowed are true, false, a number or text"),
    ("{f: .inf}", "inf is not a number that every language can read"),
    ("{f: 9007199254740992}", "is not a number that every language can read"),
    ("{f: {default: on_}}", "variant 'on_' is not defined; defined are enabled, disabled"),
    ("{f: {variants: {a: 1, b: x}, default: a}}", "different kinds: number, string"),
    ("{f: {variants: {a: 1}}}", "default is required: the variant for users whom"),
    ("{f: {variants: {a: {x: null}}, default: a}}", "None is not a flag's value"),
    ("{f: {rules: [{variant: nope}]}}", "variant 'nope' is not defined"),
    ("{f: {rules: [{segments: [nope], variant: enabled}]}}",
     "segment 'nope' is not defined; defined are beta"),
    ("{f: {rules: [{percent: 101, variant: enabled}]}}", "101 is outside 0 to 100"),
    ("{f: {rules: [{when: {a: {}}, variant: enabled}]}}", "at least one is required of any_of"),
    ("{f: {rules: [{when: {a: {anyof: [1]}}, variant: enabled}]}}", "did you mean 'any_of'?"),
    ("{f: {mirrors: system, rules: [{variant: baseline}]}}", "cannot have rules"),
    ("{f: {mirrors: mode, variants: {shadow: true}}}",
     "variants baseline_only, parallel, gradual, candidate_only, emergency_rollback are missing"),
    ("{f: {mirrors: percent, variants: {a: 1}, default: a}}", "cannot have variants"),
    ("{f: {in_modes: {shadowy: enabled}}}", "shadowy"),
    ("{f: true}\nconsole: {origins: ['*']}", "console.origins[0]"),
    ("{f: true}\nconsole: {origins: [https://app.example/]}", "console.origins[0]"),
    ("{changeover.x: true}", "names that begin with changeover. are reserved; choose another name"),
    ("{f: true}\nrollback: {safe_flags: {changeover.system: candidate}}",
     "rollback.safe_flags.changeover.system: names that begin with changeover. are reserved"),
    ("{f: true}\ncutover: {final: {flags: {changeover.system: candidate}}}",
     "cutover.final.flags.changeover.system: names that begin with changeover. are reserved"),
    ("{f: {defualt: enabled}}", "did you mean 'default'?"),
    ("{f: true}\nflag_segments: {beta: {a: 1}}", "beta is also a segment of routing"),
    ("{f: true}\nrollback: {safe_flags: {f: WARN}}", "'WARN' is a string, flag f is a boolean"),
])
def test_mistake_is_named_with_its_line_and_what_is_allowed(flags: str, problem: str) -> None:
    """A flag that cannot work is refused before anyone asks for it."""
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(f"{GOOD}flags: {flags}\n", "x")
    assert problem in str(refused.value)
    assert "line " in str(refused.value)


values = st.booleans() | st.integers(-2**53 + 1, 2**53 - 1) | st.floats(
    allow_nan=False, allow_infinity=False) | st.text(max_size=20)


@given(values)
def test_plain_value_is_kept_as_it_is(value: bool | float | str) -> None:
    """Written, stored and read again, a value is the same and of the same type."""
    again = from_document(as_document(from_document(value)))
    assert (type(again), again) == (type(value), value)
    spec = as_spec(value)
    assert spec.fallback is not None
    assert (spec.choices[spec.fallback], spec.kind) == (value, kind_of(value))


def test_document_of_a_flag_reads_back_as_the_flag() -> None:
    """The store's form loses nothing."""
    plan = load_plan(PLANS / "invoices.yaml")
    for entry in plan.flags.values():
        assert from_document(as_document(entry)) == entry
    assert as_spec(plan.flags["use_opensource_ocr"]).expires == date(2027, 6, 30)


def test_numbers_of_one_flag_are_of_one_type() -> None:
    """When one variant is a fraction, typed clients get fractions from all."""
    spec = as_spec(from_document({"variants": {"a": 1, "b": 2.5}, "default": "a"}))
    assert [type(value) for value in spec.choices.values()] == [float, float]
    assert spec.kind is Kind.NUMBER


def test_the_agents_old_rule_is_one_line_of_the_plan() -> None:
    """`issue_number % 100 < percentage`: at 25 % issues 0 to 24 of each hundred, and no others."""
    text = (PLANS / "agents.yaml").read_text()
    assert "  key: {header: x-issue} " in text and "  # key: {header: x-issue, modulo: 100}" in text
    changed = text.replace("  key: {header: x-issue} ", "  # ").replace("  # key: ", "  key: ")
    plan = parse_plan(changed, "p")
    state = RoutingState("agents", Mode.GRADUAL, 2_500)
    for number in (1, 24, 25, 99, 124, 125):
        is_new = decide(state, f"acme:parcels:{number}", rule=plan.routing.rule) == "candidate"
        assert is_new is (number % 100 < 25), number

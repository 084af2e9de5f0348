"""Routes in a plan: what is refused, with one clear message each, and what stages make of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from changeover.errors import InvalidPlan
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.plan.rules import warnings
from changeover.plan.subsets import REST, subsets_read

ORDERS = "{name: orders, path: {prefix: /orders}}"
LOGIN = "{name: login, path: {exact: /login}, move: never}"
PLAIN = "stages: [{percent: 10, soak: 1h}]"


def text(*routes: str, phases: str = f"[{{phase: gradual, {PLAIN}}}]") -> str:
    """Return a plan, each route on a line of its own: the first one on line 6."""
    lines = ["migration: shop", "systems:",
             "  baseline: {name: old, url: 'http://127.0.0.1:8101'}",
             "  candidate: {name: new, url: 'http://127.0.0.1:8102'}", "routes:",
             *(f"  - {each}" for each in routes), f"phases: {phases}"]
    return "\n".join(lines)


def parsed(*routes: str, **changes: Any) -> Plan:
    return parse_plan(text(*routes, **changes), "plan.yaml")


def one_problem(*routes: str, **changes: Any) -> str:
    """Return the one message about a plan that is refused."""
    with pytest.raises(InvalidPlan) as refused:
        parsed(*routes, **changes)
    assert len(refused.value.problems) == 1, refused.value.problems
    return refused.value.problems[0]


@pytest.mark.parametrize(("route", "said"), [
    ("{path: {exact: /x}}", ["name", "required"]),
    ("{name: Bad, path: {exact: /x}}", ["'Bad'", "a-z"]),
    ("{name: x}", ["`path`, `method`, `host` and `header`"]),
    ("{name: x, path: {}}", ["exactly one of `exact`, `prefix`, `template` and `regex`"]),
    ("{name: x, path: {exact: /x, prefix: /y}}", ["exactly one of `exact`"]),
    ("{name: x, path: {exact: x}}", ["'x' is no path; it begins with /"]),
    ("{name: x, path: {exact: '/x?a=1'}}", ["no blanks, ? or #"]),
    ("{name: x, path: {prefix: '/x#a'}}", ["no blanks, ? or #"]),
    ("{name: x, path: {exact: '/caf\\u00e9'}}".replace("\\u00e9", "é"), ["%C3%A9"]),
    ("{name: x, path: {template: '/x/{id'}}", ["no template", "/orders/{id}"]),
    ("{name: x, path: {regex: '/x('}}", ["not a regular expression"]),
    ("{name: x, path: {regex: '/x(?=y)'}}", ["'(?'", "without look-around"]),
    ("{name: x, path: {regex: '/(a)\\1'}}", ["'\\\\1'", "back references"]),
    ("{name: x, path: {regex: '.*'}}", ["matches no path: a path begins with /"]),
    ("{name: x, path: {suffix: /x}}", ["suffix", "exact"]),
    ("{name: x, method: get}", ["'get'", "A-Z"]),
    ("{name: x, host: 'shop.example:80'}", ["'shop.example:80'"]),
    ("{name: x, header: {name: x-a}}", ["any_of", "required"]),
    ("{name: x, header: {name: x-a, any_of: []}}", ["any_of"]),
    ("{name: x, path: {exact: /x}, timeout: soon}", ["timeout", "soon", "30s"]),
    ("{name: x, path: {exact: /x}, attempt_timeout: 5}", ["attempt_timeout", "30s"]),
    ("{name: x, host: a.example, comparison: {ignore: [$.id]}}",
     ["`comparison` works with `path` and `method` only"]),
    ("{name: x, path: {exact: /x}, comparison: {ignor: [$.id]}}", ["ignor", "ignore"]),
    ("{name: x, path: {exact: /x}, move: later}", ["'later'", "alone", "together", "never"]),
], ids=str)
def test_bad_route_is_refused_with_its_line(route: str, said: list[str]) -> None:
    """One message, with the line and what is allowed."""
    problem = one_problem(route)
    assert problem.startswith("line 6, routes[0]"), problem
    for each in said:
        assert each in problem, problem


@pytest.mark.parametrize(("routes", "phases", "said"), [
    ([ORDERS, ORDERS], f"[{{phase: gradual, {PLAIN}}}]", "another route is called 'orders'"),
    ([ORDERS], f"[{{phase: gradual, routes: [nope], {PLAIN}}}]",
     "route 'nope' is not defined; defined are orders"),
    ([ORDERS, LOGIN], f"[{{phase: gradual, routes: [login], {PLAIN}}}]",
     "route 'login' never moves (`move: never`)"),
    (["{name: x, path: {exact: /x}, move: together}"],
     f"[{{phase: gradual, routes: [x], {PLAIN}}}]", "moves with everything else"),
    ([ORDERS], "[{phase: beta, routes: [orders], percent: 5, soak: 1h}]",
     "phase beta does not have routes"),
    ([ORDERS], "[{phase: gradual, stages: [{routes: [orders, orders], percent: 5, soak: 1h}]}]",
     "a route is named twice"),
    ([ORDERS], "[{phase: gradual, routes: [orders], stages: [{percent: 0, soak: 1h}]}]",
     "0 %: a route's share must be above 0, and 100 at most"),
    ([ORDERS], "[{phase: gradual, routes: [orders], stages: [{percent: 50, soak: 1h}, "
     "{percent: 20, soak: 1h}]}]", "20 % after 50 %: percentages must grow"),
    ([ORDERS], "[{phase: gradual, stages: [{percent: 10, soak: 1h}]}, "
     "{phase: gradual, stages: [{percent: 20, soak: 1h}]}]", "phase gradual is listed twice"),
], ids=str)
def test_routes_that_do_not_fit_the_plan_are_refused(
    routes: list[str], phases: str, said: str
) -> None:
    """A stage names routes that move alone, and moves nobody back."""
    problem = one_problem(*routes, phases=phases)
    assert said in problem
    assert problem.startswith("line "), problem


@pytest.mark.parametrize(("condition", "said"), [
    ("{metric: error_rate, below: 1%, route: nope}", "route 'nope' is not defined; defined are"),
    ("{metric: error_rate, below: 1%, route: login}", "route 'login' never moves"),
    ("{metric: up, at_least: 1, route: orders}", "`route` works with metrics of traffic only"),
    ("{metric: error_rate, below: 1%, route: orders, segment: beta}",
     "`route` does not work with `segment`"),
    ("{metric: error_rate, below: 1%, route: Orders}", "'Orders' does not match"),
], ids=str)
def test_bad_route_of_a_check_is_refused_with_its_line(condition: str, said: str) -> None:
    """One message, at the check."""
    problem = one_problem(ORDERS, LOGIN, phases=(
        f"[{{phase: gradual, {PLAIN}}}]\ngates:\n  slo:\n    - {condition}"))
    assert said in problem
    assert problem.startswith("line 11, gates.slo[0]")


def test_trigger_of_a_route_is_urgent() -> None:
    """It takes back the route alone, and at once."""
    problem = one_problem(ORDERS, phases=(
        f"[{{phase: gradual, {PLAIN}}}]\nrollback: {{return: {{over: 5m}}}}\ntriggers:\n"
        "  - {name: x, metric: error_rate, above: 1%, route: orders, action: rollback, "
        "urgent: false}"))
    assert "`urgent: false` does not work with `route`" in problem


def test_a_route_that_never_moves_cannot_be_rolled_back() -> None:
    """A trigger that would, takes back everyone: nothing of the route is at the candidate."""
    problem = one_problem(LOGIN, phases=(
        f"[{{phase: gradual, {PLAIN}}}]\ntriggers:\n"
        "  - {name: x, metric: error_rate, of: baseline, above: 1%, route: login, "
        "for: 10s, action: rollback}"))
    assert "nothing of it can be rolled back" in problem


def test_stages_of_routes_add_up() -> None:
    """Each stage moves its routes and leaves everything else; `full` moves all but `never`."""
    plan = parsed(
        ORDERS, LOGIN, "{name: search, path: {prefix: /search}}",
        phases="[{phase: gradual, routes: [orders], stages: [{percent: 10, soak: 1h}, "
        "{percent: 100, soak: 1h}]}, {phase: gradual, stages: [{percent: 10, soak: 1h}, "
        "{routes: [search], percent: 0.5, soak: 1h}, {percent: 50, soak: 1h}]}, "
        "{phase: full, soak: 1h}]")
    found = [(each.key, each.title, each.weight, dict(each.shares)) for each in plan.stages()]
    assert found == [
        ("gradual-orders-10", "gradual 10 % of orders", 0, {"orders": 1_000}),
        ("gradual-orders-100", "gradual 100 % of orders", 0, {"orders": 10_000}),
        ("gradual-10", "gradual 10 %", 1_000, {"orders": 10_000}),
        ("gradual-search-0-5", "gradual 0.5 % of search", 1_000, {"orders": 10_000, "search": 50}),
        ("gradual-50", "gradual 50 %", 5_000, {"orders": 10_000, "search": 50}),
        ("full", "full 100 %", 10_000, {"orders": 10_000, "search": 10_000}),
    ]


def test_gates_of_a_stage_of_routes_are_about_each_of_them() -> None:
    """Each route has its own verdict; what no request tells is asked as it stands."""
    phases = ("[{phase: gradual, gates: [slo], stages: [{routes: [orders, search], percent: 5, "
              "soak: 1h}, {percent: 10, soak: 1h}]}]\ngates:\n  slo:\n"
              "    - {metric: error_rate, below: 1%}\n    - {metric: up, at_least: 1}\n"
              "    - {metric: latency_p95, below: 1s, route: login, of: baseline}")
    plan = parsed(ORDERS, LOGIN, "{name: search, path: {prefix: /search}}", phases=phases)
    assert [stage.gates for stage in plan.stages()] == [("slo.orders", "slo.search"), ("slo",)]
    found = {name: [check.route for check in checks] for name, checks in plan.all_gates.items()}
    assert found == {"slo": [None, None, "login"], "slo.orders": ["orders", None, "login"],
                     "slo.search": ["search", None, "login"]}
    assert "slo.orders" not in plan.gates
    assert subsets_read(plan) == ["route:login", "route:orders", "route:search", REST]


def test_route_in_no_stage_is_said() -> None:
    """Nobody finds out at `full` only that a path was never tried."""
    said = "route orders is in no stage: it stays at the baseline"
    assert said in warnings(parsed(ORDERS))
    phases = f"[{{phase: gradual, {PLAIN}}}, {{phase: full, soak: 1h}}]"
    assert any("phase full moves it at once" in each for each in
               warnings(parsed(ORDERS, phases=phases)))


def test_plan_with_routes_is_the_same_when_it_was_stored() -> None:
    """What the store keeps of a plan says the same again."""
    plan = parsed("{name: x, path: {template: '/a/{id}'}, method: GET, host: a.example, "
                  "header: {name: X-T, any_of: [one]}}")
    stored = yaml.safe_load(yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True)))
    assert Plan.model_validate(stored).routes == plan.routes

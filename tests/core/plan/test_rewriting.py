"""What a route's requests become for the candidate: what is refused, and what each key means."""

from __future__ import annotations

import pytest

from changeover.domain.rewriting import routes_for, seen
from changeover.domain.route_matching import Request
from changeover.domain.routing import System
from changeover.plan.amending import refusals
from changeover.plan.model import Plan
from tests.core.plan.test_routes import ORDERS, one_problem, parsed


@pytest.mark.parametrize(("route", "said"), [
    ("path: {prefix: /orders}, rewrite: {}", ["one of `path` and `host` is required"]),
    ("path: {prefix: /orders}, rewrite: /v2", ["rewrite", "'/v2'"]),
    ("path: {prefix: /orders}, rewrite: {path: v2}", ["'v2' is no path; it begins with /"]),
    ("path: {prefix: /orders}, rewrite: {path: '/v2?x'}", ["no blanks, ? or #"]),
    ("path: {prefix: /orders}, rewrite: {path: /v2/../x}", ["with . or ..", "without them"]),
    ("path: {prefix: /orders}, rewrite: {path: '/%2e/x'}", ["with . or .."]),
    ("path: {prefix: /orders}, rewrite: {to: /v2}", ["to", "path"]),
    ("path: {prefix: /orders}, rewrite: {host: 'http://new'}", ["'http://new' is no host"]),
    ("path: {prefix: /orders}, rewrite: {path: /v2/orders/}",
     ["must both end with a slash, or neither", "write /v2/orders"]),
    ("path: {prefix: /static/}, rewrite: {path: /assets}", ["write /assets/"]),
    ("path: {prefix: /}, rewrite: {path: /api}", ["write /api/"]),
    ("host: shop.example, rewrite: {path: /v2}", ["`rewrite.path` needs the route's `path`"]),
    ("path: {exact: /login}, move: never, rewrite: {path: /v2}",
     ["nothing of a route with `move: never`"]),
    ("path: {template: '/c/{id}'}, rewrite: {path: '/c2/{name}'}",
     ["{name} of `rewrite.path` is not in `path.template` '/c/{id}'"]),
    ("path: {template: '/c/{id}/{id}'}, rewrite: {path: '/c2/{id}'}", ["{id}", "is twice in"]),
    ("path: {template: '/c/{id}'}, rewrite: {path: '/c2/{id'}", ["has a brace that names no part"]),
    ("path: {template: '/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}'}, "
     "rewrite: {path: '/{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}'}", ["10 parts", "9 are the most"]),
    ("path: {regex: '/a/(b)'}, rewrite: {path: '/x/\\2'}",
     ["'\\\\2' in `rewrite.path` is no group", "allowed are \\1"]),
    ("path: {regex: '/a/(?:b)'}, rewrite: {path: '/x/\\1'}", ["none, it has no (…)"]),
    ("path: {regex: '/a/(b)'}, rewrite: {path: '/x/\\0'}", ["is no group"]),
    ("path: {regex: '/a/(b)'}, rewrite: {path: '/x/\\'}", ["is no group", "two backslashes"]),
], ids=str)
def test_bad_rewrite_is_refused_with_its_line(route: str, said: list[str]) -> None:
    """One message, with the line and what is allowed."""
    problem = one_problem(f"{{name: x, {route}}}")
    assert problem.startswith("line 6, routes[0]"), problem
    for each in said:
        assert each in problem, problem


def test_plan_with_rewrites_tells_requests_by_what_systems_see() -> None:
    """Envoy's control headers are gone behind the hop, where a request's route is found again."""
    problem = one_problem(
        "{name: a, header: {name: x-envoy-max-retries, any_of: ['3']}}",
        "{name: b, path: {prefix: /b}, rewrite: {path: /c}}")
    assert problem.startswith("line 6, routes[0].header")
    assert "header x-envoy-max-retries is for the gateway alone" in problem


@pytest.mark.parametrize(("route", "table"), [
    ("path: {exact: /login}, rewrite: {path: /session/new}", {
        "/login": "/session/new", "/login?next=/a": "/session/new?next=/a", "/login/": "/login/"}),
    ("path: {prefix: /orders}, rewrite: {path: /api/v2/orders}", {
        "/orders": "/api/v2/orders", "/orders/": "/api/v2/orders/",
        "/orders/7?x=1": "/api/v2/orders/7?x=1", "/orders?x": "/api/v2/orders?x",
        "/orders//7": "/api/v2/orders//7", "/orders/%E9": "/api/v2/orders/%E9",
        "/orders-old": "/orders-old", "/x/orders": "/x/orders"}),
    ("path: {prefix: /shop}, rewrite: {path: /}", {
        "/shop": "/", "/shop/": "/", "/shop?x": "/?x", "/shop/a/b?x": "/a/b?x", "/shop//a": "//a"}),
    ("path: {prefix: /static/}, rewrite: {path: /}", {"/static/": "/", "/static/a": "/a"}),
    ("path: {prefix: /}, rewrite: {path: /api/}", {"/": "/api/", "/a?b": "/api/a?b"}),
    ("path: {template: '/c/{id}/receipts/{no}'}, rewrite: {path: '/r/{no}\\by/{id}/{no}'}", {
        "/c/1/receipts/2?x": "/r/2\\by/1/2?x", "/c/a%2Fb/receipts/c": "/r/c\\by/a%2Fb/c",
        "/c/1/receipts": "/c/1/receipts"}),
    ("path: {template: '/c/{id}/{tail}'}, rewrite: {path: '/old-ids/{tail}'}", {
        "/c/1/2": "/old-ids/2"}),
    (r"path: {regex: '/v[12]/(\w+)(/x)?(/.*)?'}, rewrite: {path: '/\1\\\3'}", {
        "/v1/a": "/a\\", "/v2/a/x?q": "/a\\?q", "/v2/a/b/c": "/a\\/b/c", "/v3/a": "/v3/a"}),
    # an expression that goes on into the query fits the request, and changes no path
    ("path: {regex: '/a/.*x'}, rewrite: {path: /b}", {"/a/x": "/b", "/a/1?x": "/a/1?x"}),
], ids=str)
def test_path_becomes_what_the_rewrite_says(route: str, table: dict[str, str]) -> None:
    """With the query as it was; what is of another route, or of none, stays as it is."""
    plan = parsed(f"{{name: x, {route}}}")
    for path, becomes in table.items():
        found = seen(plan.systems.candidate, Request(path), routes_for(plan, System.CANDIDATE))
        assert found.path == becomes, path
        assert seen(plan.systems.baseline, Request(path),
                    routes_for(plan, System.BASELINE)).path == path


def test_first_route_that_matches_says_what_the_candidate_sees() -> None:
    """One without a rewrite keeps later ones from it; a path of the url stands before all; the
    host is the route's, else the system's, else the user's.
    """
    plan = parsed(
        "{name: own, path: {prefix: /orders/own}}",
        "{name: orders, path: {prefix: /orders}, rewrite: {path: /o, host: orders.example}}")
    below = plan.systems.candidate.model_copy(update={"url": "http://h:1/v2"})
    named = below.model_copy(update={"host": "new.example"})
    for path, becomes, host in (
        ("/orders/own/7", "/v2/orders/own/7", "new.example"),
        ("/orders/7", "/v2/o/7", "orders.example"), ("/x", "/v2/x", "new.example"),
    ):
        found = seen(named, Request(path, host="shop"), plan.routes)
        assert (found.path, found.host) == (becomes, host)
    assert seen(below, Request("/x", host="shop"), plan.routes).host == "shop"


def test_rewrite_cannot_be_changed_while_a_cutover_runs() -> None:
    """Users on the candidate would notice; a system's url and host are the same."""
    plan = parsed(ORDERS)
    other = parsed(ORDERS.replace("}}", "}, rewrite: {path: /v2}}"))
    assert refusals(plan, other, []) == [
        "routes cannot be changed while a cutover runs: users who were moved would notice, or what "
        "was prepared would no longer fit"]


def test_stored_plan_says_the_same_again() -> None:
    """What the store keeps of a plan."""
    plan = parsed("{name: x, path: {template: '/a/{id}'}, rewrite: {path: '/b/{id}', host: h:1}}")
    again = Plan.model_validate(plan.model_dump(mode="json", by_alias=True, exclude_unset=True))
    assert again.routes == plan.routes

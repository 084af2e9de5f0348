"""A path in a system's url, and the host that its requests name: what is possible, what is said."""

from __future__ import annotations

import pytest

from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec
from tests.core.plan.test_load import GOOD, problems


def _plan(candidate: str, baseline: str = "") -> str:
    """Return a plan with more keys of its systems: the candidate's are on line 4."""
    return (GOOD.replace("url: 'http://127.0.0.1:2'", candidate)
            .replace("url: 'http://127.0.0.1:1'", baseline or "url: 'http://127.0.0.1:1'"))


def _system(url: str, **keys: str) -> SystemSpec:
    return SystemSpec.model_validate({"name": "new", "url": url, **keys})


@pytest.mark.parametrize(("url", "path", "origin"), [
    ("http://h:1", "", "http://h:1"), ("http://h:1/", "", "http://h:1"),
    ("http://h:1/v2", "/v2", "http://h:1/v2"), ("http://h:1/v2/", "/v2", "http://h:1/v2"),
    ("https://h/a/b-c/%C3%A9;d=1", "/a/b-c/%C3%A9;d=1", "https://h/a/b-c/%C3%A9;d=1"),
    ("unix:///run/shop.sock", "", "http://localhost"),
    ("unix:///run/shop.sock:/v2/a:b/", "/v2/a:b", "http://localhost/v2/a:b"),
])
def test_path_of_the_url_stands_before_each_path(url: str, path: str, origin: str) -> None:
    """Without a slash at its end, so that a request's own path can follow."""
    system = _system(url)
    assert (system.base_path, system.origin) == (path, origin)
    assert system.authority in ("h:1", "h", "localhost")


def test_path_of_a_socket_ends_where_the_path_of_requests_begins() -> None:
    """At the first colon before a slash, as nginx has it."""
    below, alone = _system("unix:///run/shop.sock:/v2"), _system("unix:///run/shop:2.sock")
    assert (below.socket_path, below.places[0].socket) == ("/run/shop.sock", "/run/shop.sock")
    assert (alone.socket_path, alone.base_path) == ("/run/shop:2.sock", "")


def test_host_of_a_system_is_what_its_requests_name() -> None:
    """Such a system is not reached by its address alone; where it is and whose its certificate is
    stays as it was.
    """
    plain, named = (_system("https://10.0.0.7:8443/v2", **keys)
                    for keys in ({}, {"host": "shop.internal:8443"}))
    assert (plain.own_host, plain.authority, plain.is_plain) == (None, "10.0.0.7:8443", True)
    assert (named.own_host, named.is_plain) == ("shop.internal:8443", False)
    assert named.authority == "shop.internal:8443"
    assert plain.places == named.places
    assert plain.server_name == named.server_name == "10.0.0.7"


@pytest.mark.parametrize(("keys", "said"), [
    ("url: 'http://h:1/v2?x'", ["is no address of a system", "without ? and #"]),
    ("url: 'http://h:1/v2#x'", ["is no address of a system"]),
    ("url: 'http://h:1/v2//x'", ["is no address of a system"]),
    ("url: 'http://h:1/v 2'", ["is no address of a system", "http://HOST:PORT"]),
    ("url: 'ftp://h/'", ["is no address of a system", "unix:///path/of/a/socket"]),
    ("url: 'http://h/é'", ["is no address of a system"]),
    ("url: 'http://h:1/v2/../x'", ["with . or ..", "without them"]),
    ("url: 'http://h:1/v2/%2e%2E/x'", ["with . or ..", "without them"]),
    ("url: 'http://h:1/.%2E'", ["with . or .."]),
    ("url: 'unix:///run/a.sock:/v2/../x'", ["with . or .."]),
    ("url: 'http://h:1/v2', protocol: http2, health: /grpc.health.v1.Health/Check",
     ["needs a `url` without a path", "remove /v2"]),
    ("url: 'http://h:1', host: 'http://h'", ["'http://h' is no host", "`host: keep`"]),
    ("url: 'http://h:1', host: ''", ["'' is no host"]),
    ("url: 'http://h:1', host: 'h/v2'", ["shop.internal:8443"]),
], ids=str)
def test_bad_value_is_refused_with_its_line(keys: str, said: list[str]) -> None:
    """One message: the place, what is wrong, what is allowed."""
    found = problems(_plan(keys))
    assert len(found) == 1, found
    assert found[0].startswith("line 4, systems.candidate"), found
    for each in said:
        assert each in found[0], found


@pytest.mark.parametrize(("baseline", "candidate"), [
    ("/v1", "/v2"), ("", "/v2"), ("', host: 'old.example", "', host: 'new.example"),
    ("", "', host: 'new.example"),
])
def test_one_server_may_have_both_systems(baseline: str, candidate: str) -> None:
    """When a path or a host tells them apart."""
    plan = parse_plan(_plan(f"url: 'http://h:1{candidate}'", f"url: 'http://h:1{baseline}'"), "x")
    assert plan.systems.baseline.places == plan.systems.candidate.places


def test_two_systems_that_nothing_tells_apart_are_refused() -> None:
    """They would be one."""
    (found,) = problems(_plan("url: 'http://h:1/v2/'", "url: 'http://h:1/v2'"))
    assert "h:1 is also the baseline's address" in found
    assert "another path in `url`, or another `host`" in found


def test_stored_plan_says_the_same_again() -> None:
    """What the store keeps of a plan."""
    plan = parse_plan(_plan("url: 'http://h:1/v2', host: shop.internal"), "x")
    again = Plan.model_validate(plan.model_dump(mode="json", by_alias=True, exclude_unset=True))
    assert again.systems == plan.systems

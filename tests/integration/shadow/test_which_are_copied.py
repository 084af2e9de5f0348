"""Which exchanges are copied: never one that the candidate itself answered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from changeover.domain.routing import Mode, RoutingState, System, decide
from changeover.plan.model import Plan
from changeover.plan.routing import KeySpec
from changeover.shadow.service import Shadow
from changeover.shadow.tap import Exchange
from changeover.site.home import Home
from changeover.site.site import Site
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
STATE = RoutingState("bench", Mode.GRADUAL, 5_000, ("beta",), shadow_sample=10_000)


@pytest.fixture(params=[None, "s26"], ids=["plain", "salted"])
def plan(request: pytest.FixtureRequest) -> Plan:
    """A plan that copies GETs, with and without a salt."""
    plan = make_plan(shadow={"methods": ["GET"]})
    return plan.model_copy(
        update={"routing": plan.routing.model_copy(update={"salt": request.param})})


@pytest.fixture
def shadow(plan: Plan, tmp_path: Path) -> Iterator[Shadow]:
    """A shadow service of a migration at 50 %, not yet running."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    found = Shadow(Site(home, plan, store))
    found.state = STATE
    yield found
    store.close()


def offered(shadow: Shadow, *headers: tuple[str, str]) -> bool:
    """Return whether an exchange with these headers is taken to be copied."""
    before = shadow.counts["served by the candidate"]
    shadow.offer(Exchange("GET", "/", headers, b"", 200, (), b"", datetime.now(UTC), 0.001))
    return shadow.counts["served by the candidate"] == before


@pytest.mark.parametrize("values", [
    ["u2", "v2"], ["u1", "u1"], ["caf\udce9"], ["u2,v2"], ["u1", ""], ["", "u1"], [],
], ids=ascii)
def test_the_candidates_own_answers_are_not_copied_whatever_the_key_is(
    shadow: Shadow, plan: Plan, values: list[str]
) -> None:
    """All values and bytes of the key count, as in the gateway: else it is compared to itself."""
    for number in range(12):
        key = [value and f"{value}{number}" for value in values]
        system = decide(STATE, key, rule=plan.routing.rule)
        headers = [("x-user-id", value) for value in key]
        assert offered(shadow, *headers) is (system is System.BASELINE), key


@pytest.mark.parametrize(("values", "is_inside"), [
    (["beta"], True), (["gamma", "beta"], True), (["beta,gamma"], False), (["\udcff"], False),
], ids=ascii)
def test_a_segment_is_told_by_any_value_of_its_header(
    shadow: Shadow, values: list[str], is_inside: bool
) -> None:
    """Whoever is at the candidate by a segment is not copied, wherever the value stands."""
    headers = [("x-cohort", value) for value in values]
    assert offered(shadow, *headers) is not is_inside


def test_a_key_that_the_gateways_script_found_is_told_by_its_bucket(tmp_path: Path) -> None:
    """Also of a user whose cookie is only being issued; without a bucket the baseline answered."""
    plan = make_plan(shadow={"methods": ["GET"]})
    routing = plan.routing.model_copy(update={"key": (KeySpec(cookie="session"),)})
    home = Home(tmp_path / "home")
    home.create()
    with contextlib.closing(ready_store(home.store_url)) as store:
        shadow = Shadow(Site(home, plan.model_copy(update={"routing": routing}), store))
        shadow.state = STATE
        assert not offered(shadow, ("x-changeover-key", "4999"))
        assert offered(shadow, ("x-changeover-key", "5000"))
        assert offered(shadow, ("cookie", "session=anything"))

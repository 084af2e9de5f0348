"""Gateway, OFREP, provider and `explain` give every user the same system, in every mode."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext

from changeover.clock import now
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import (
    TRANSITIONS,
    Change,
    Mode,
    RoutingState,
    System,
    bucket,
    decide,
)
from changeover.flags.evaluate import Evaluator
from changeover.flags.explain import explain
from changeover.flags.state import FlagEdit
from changeover.plan.model import Plan
from changeover.procedures import rollback
from changeover.sdk.feed import Feed
from changeover.sdk.openfeature import ChangeoverProvider
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import flags, plans, routing
from changeover.store.engine import Store
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.pipelining import ask, request
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for
from tests.support.ready_store import ready_store

pytestmark = [pytest.mark.integration]
User = tuple[str, dict[str, str]]
USERS: list[User] = [
    (f"user-{number}", {**({"x-cohort": "beta"} if number % 100 == 0 else {}),
                        **({"plan": "gold"} if number % 3 == 0 else {})})
    for number in range(10_000)]
SAMPLE = USERS[::50]
"""Those for whom the console is asked to explain, too."""
VIP = frozenset(key for key, _ in USERS[7::200])
"""Users who have moved by name: a segment about the key's own header."""
FLAGS: dict[str, Any] = {
    "new": {"mirrors": "system", "variants": {"baseline": False, "candidate": True}},
    "pilot": {"rules": [{"segments": ["vip"], "variant": "enabled"},
                        {"when": {"plan": "gold"}, "percent": 20, "variant": "enabled"}]},
}
SAFE = {"new": False, "pilot": False, "apology": True}
"""`apology` is no flag of the plan: a rollback makes it one."""
WAYS = {
    Mode.BASELINE_ONLY: [], Mode.SHADOW: [Mode.SHADOW], Mode.PARALLEL: [Mode.PARALLEL],
    Mode.GRADUAL: [Mode.GRADUAL], Mode.CANDIDATE_ONLY: [Mode.GRADUAL, Mode.CANDIDATE_ONLY],
    Mode.RETURNING: [Mode.GRADUAL, Mode.RETURNING],
    Mode.EMERGENCY_ROLLBACK: [Mode.GRADUAL, Mode.EMERGENCY_ROLLBACK],
}


def the_plan() -> Plan:
    """Return the plan that everyone follows."""
    routing_part = make_plan().routing.model_dump(mode="json", exclude_none=True)
    routing_part["segments"]["vip"] = {"header": "x-user-id", "any_of": sorted(VIP)}
    return make_plan(routing=routing_part, flags=FLAGS, rollback={"safe_flags": SAFE})


class Everyone:
    """All who can be asked about users: a gateway, a console, a provider, the store."""

    def __init__(self, bench: Bench, store: Store, port: int) -> None:
        self.bench, self.store, self.plan, self.port = bench, store, bench.plan, port
        self.feed = Feed.from_console(f"http://127.0.0.1:{port}")
        api.set_provider_and_wait(
            ChangeoverProvider(self.feed, wait_seconds=LONGEST_PAUSE), "agreement")

    @property
    def client(self) -> OpenFeatureClient:
        """The application's way to ask."""
        return api.get_client("agreement")

    def go(self, mode: Mode) -> RoutingState:
        """Bring everyone to a mode, from baseline_only; a rollback is a real one."""
        present = routing.read(self.store, "bench").mode
        if present is Mode.RETURNING:  # the only way on
            self._change(Mode.EMERGENCY_ROLLBACK)
        if present is not Mode.BASELINE_ONLY:
            self._change(Mode.BASELINE_ONLY)
        if flags.drift(self.store, "bench").keys() & FLAGS.keys():  # left by a rollback
            flags.change(
                self.store, "bench", FlagEdit("pilot", flags.to_plan), Author("ana", "mended"),
                now=now())
        for step in WAYS[mode]:
            self._change(step)
        state = routing.read(self.store, "bench")
        self.bench.gateway.publish(self.plan, state)
        self._wait()
        return state

    def _change(self, mode: Mode) -> None:
        if mode is Mode.EMERGENCY_ROLLBACK:
            home = Home(self.bench.gateway.files.root.parent)
            site = Site(home, self.plan, self.store, self.bench.gateway)
            rollback.start(site, Cause("t", "a test"))
            return
        change = Change(mode=mode, weight=3_700, segments=("beta", "vip"), is_by_person=True)
        if mode is Mode.RETURNING:  # half of the share and of the segments' users are back
            change = Change(mode=mode, weight=1_850, segment_weight=5_000)
        routing.change(self.store, "bench", change, Author("t", "t"), now=now())

    def _wait(self) -> None:
        """Wait until console and provider have what the store has."""
        marker = flags.marker(self.store, "bench")
        url = f"http://127.0.0.1:{self.port}/v1/flags/snapshot"
        wait_for(lambda: httpx.get(url).json()["etag"] == marker, what="console")
        wait_for(lambda: self.feed.evaluator.snapshot.etag == marker, what="provider")

    def by_gateway(self, users: Sequence[User]) -> list[str]:
        """Return the system that answered each user over the wire."""
        port = int(self.plan.routing.listen.rpartition(":")[2])
        answers = ask(port, [request("GET", "/", {"x-user-id": key, **{
            name: value for name, value in context.items() if name == "x-cohort"}})
            for key, context in users])
        return [json.loads(answer)["served_by"] for answer in answers]

    def by_ofrep(self, users: Sequence[User]) -> list[dict[str, Any]]:
        """Return every flag's value for each user, evaluated remotely."""
        answers = ask(self.port, [request(
            "POST", "/ofrep/v1/evaluate/flags", {},
            json.dumps({"context": {"targetingKey": key, **context}}).encode())
            for key, context in users])
        return [{one["key"]: one["value"] for one in json.loads(answer)["flags"]}
                for answer in answers]

    def by_explanation(self) -> list[dict[str, Any]]:
        """Return the console's explanation for each user of the sample."""
        return [json.loads(answer) for answer in ask(self.port, [request(
            "GET", f"/v1/explain?key={quote(key)}" + "".join(
                f"&{name}={value}" for name, value in context.items()), {})
            for key, context in SAMPLE])]

    def by_provider(self, user: User) -> dict[str, Any]:
        """Return every flag's value for a user, evaluated in this process through the SDK."""
        told = EvaluationContext(*user)
        return {"changeover.system": self.client.get_string_value("changeover.system", "", told),
                **{flag: self.client.get_boolean_value(flag, flag != "pilot", told)
                   for flag in FLAGS}}


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everyone]:
    """One real Envoy and one real console for all modes, and a store that both follow."""
    plan, home = the_plan(), Home(tmp_path_factory.mktemp("agreement") / "home")
    home.create()
    store = ready_store(home.store_url)
    plans.register(store, plan, source="test", now=now())
    flags.follow_plan(store, plan, now=now())
    port = free_port()
    command = [sys.executable, "-m", "changeover.console", "--home", str(home.root),
               "--migration", "bench", "--host", "127.0.0.1", "--port", str(port)]
    with contextmanager(start_bench)(plan, home.root) as bench, running(
            command, home.logs / "console.log"):
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/v1/explain").is_success, seconds=60)
        yield Everyone(bench, store, port)
        api.clear_providers()
    store.close()


def wanted(state: RoutingState, user: User) -> dict[str, Any]:
    """Return what the rules say for a user, worked out apart from what is tested."""
    key, context = user
    inside = {"beta"} if "x-cohort" in context else set()
    system = decide(state, key, frozenset(inside | ({"vip"} if key in VIP else set())))
    in_pilot = key in VIP or (context.get("plan") == "gold" and bucket(key) < 2_000)
    return {"changeover.system": system.value, "new": system is System.CANDIDATE,
            "pilot": in_pilot and state.mode is not Mode.EMERGENCY_ROLLBACK}


@pytest.mark.parametrize("mode", list(Mode))
def test_ten_thousand_users_get_one_answer_from_everyone(everyone: Everyone, mode: Mode) -> None:
    """Over the wire, remotely, in process and explained: the same for each user.

    With users who have moved by their share, by a header's segment and by name; a flag that mirrors
    the migration, one with rules, and a rollback's safe flags.
    """
    state = everyone.go(mode)
    evaluator = Evaluator(flags.snapshot(everyone.store, "bench"))
    with ThreadPoolExecutor(2) as pool:
        systems, remote = (asked.result() for asked in (
            pool.submit(everyone.by_gateway, USERS), pool.submit(everyone.by_ofrep, USERS)))
    explained = {}
    for user, system, found in zip(USERS, systems, remote, strict=True):
        meant = wanted(state, user)
        assert system == meant["changeover.system"], user
        assert {flag: found[flag] for flag in meant} == meant, user
        assert everyone.by_provider(user) == meant, user
        told = explained[user[0]] = explain(evaluator, *user, today=now().date())
        assert (told["system"], told["flags"]["pilot"]["value"]) == (system, meant["pilot"]), user
    for (key, _), answer in zip(SAMPLE, everyone.by_explanation(), strict=True):
        assert answer == {**explained[key], "is_stale": False}
    assert systems.count("candidate") == {
        Mode.GRADUAL: 3_818, Mode.RETURNING: 1_879,
        Mode.CANDIDATE_ONLY: 10_000}.get(mode, 0)
    if mode is Mode.EMERGENCY_ROLLBACK:
        assert all(found["apology"] is True for found in remote)


def test_after_a_rollback_everyone_agrees_again(everyone: Everyone) -> None:
    """Rolled back, recovered and moved once more: flags follow the migration as before."""
    everyone.go(Mode.EMERGENCY_ROLLBACK)
    state = everyone.go(Mode.GRADUAL)
    found = everyone.by_ofrep(SAMPLE)
    assert everyone.by_gateway(SAMPLE) == [one["changeover.system"] for one in found]
    assert [one["new"] for one in found] == [wanted(state, user)["new"] for user in SAMPLE]
    assert {one["new"] for one in found} == {True, False}


def test_every_mode_can_be_reached_in_this_test() -> None:
    """The ways that this test goes are those of the table, for all modes."""
    assert set(WAYS) == set(Mode)
    for way in WAYS.values():
        for one, other in zip([Mode.BASELINE_ONLY, *way], way, strict=False):
            assert other in TRANSITIONS[one]

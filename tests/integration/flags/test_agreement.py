"""Gateway, OFREP, provider and `explain` give every user the same system, in every mode."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator

import httpx
import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from changeover.clock import now
from changeover.flags.evaluate import Evaluator
from changeover.flags.explain import explain
from changeover.openfeature import ChangeoverProvider
from changeover.routing import TRANSITIONS, Change, Mode, RoutingState, decide
from changeover.store import flags, plans, routing
from changeover.store.engine import Store
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.test_split import Users
from tests.support.processes import free_port, running, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
KEYS = [f"user-{number}" for number in range(10_000)]
BETA = 100
"""Every so many users are in the segment that has moved."""
FLAGS = {"new": {"mirrors": "system", "variants": {"baseline": False, "candidate": True}}}
WAYS = {
    Mode.BASELINE_ONLY: [], Mode.SHADOW: [Mode.SHADOW], Mode.PARALLEL: [Mode.PARALLEL],
    Mode.GRADUAL: [Mode.GRADUAL], Mode.CANDIDATE_ONLY: [Mode.GRADUAL, Mode.CANDIDATE_ONLY],
    Mode.EMERGENCY_ROLLBACK: [Mode.GRADUAL, Mode.EMERGENCY_ROLLBACK],
}


class Everyone:
    """All who can be asked about a user: a gateway, a console, a provider, the store."""

    def __init__(self, bench: Bench, store: Store, url: str) -> None:
        self.bench, self.store, self.url = bench, store, url
        self.plan = bench.plan
        self.http = httpx.Client(timeout=10)
        self._remote = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)

    def go(self, mode: Mode) -> RoutingState:
        """Bring everyone to a mode, from baseline_only."""
        present = routing.read(self.store, "bench")
        if present.mode is not Mode.BASELINE_ONLY:
            routing.change(self.store, "bench", Change(mode=Mode.BASELINE_ONLY, is_by_person=True),
                           actor="t", reason="t", now=now())
        for step in WAYS[mode]:
            routing.change(self.store, "bench", Change(
                mode=step, weight=3_700, segments=("beta",)), actor="t", reason="t", now=now())
        state = routing.read(self.store, "bench")
        self.bench.gateway.publish(self.plan, state)
        wait_for(lambda: self.http.get(f"{self.url}/v1/explain").json()["version"]
                 == state.version, what="console")
        return state

    def ofrep(self, key: str, context: dict[str, str]) -> str:
        """Return the system that the remote evaluation names."""
        self._remote.request("POST", "/ofrep/v1/evaluate/flags/changeover.system",
                             json.dumps({"context": {"targetingKey": key, **context}}))
        return str(json.loads(self._remote.getresponse().read())["value"])


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everyone]:
    """A real Envoy, a real console, and a store that both follow."""
    folder = tmp_path_factory.mktemp("agreement")
    plan = make_plan(flags=FLAGS)
    url = f"sqlite:///{folder / 'store.db'}"
    store = Store.open(url, create=True)
    plans.register(store, plan, source="test", now=now())
    flags.follow_plan(store, plan, now=now())
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.support.console", url, "bench", str(port)]
    for bench in start_bench(plan, folder):
        with running(command, folder / "console.log"):
            wait_for(lambda: httpx.get(f"{address}/v1/explain").status_code == 200,
                     seconds=60)
            api.set_provider_and_wait(ChangeoverProvider.from_console(address), "agreement")
            yield Everyone(bench, store, address)
            api.clear_providers()
    store.close()


def contexts() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every key with its attributes."""
    for number, key in enumerate(KEYS):
        yield key, {"x-cohort": "beta"} if number % BETA == 0 else {}


@pytest.mark.parametrize("mode", list(Mode))
def test_ten_thousand_users_get_one_answer_from_everyone(everyone: Everyone, mode: Mode) -> None:
    """Over the wire, remotely, in process and explained: the same system for each user."""
    state = everyone.go(mode)
    client, users = api.get_client("agreement"), Users(everyone.bench)
    wait_for(lambda: client.get_boolean_details("new", False, EvaluationContext("u"))
             .flag_metadata["why"] == everyone_says(everyone, "u"))
    evaluator = Evaluator(flags.snapshot(everyone.store, everyone.plan))
    counted = 0
    for key, context in contexts():
        meant = decide(state, key, frozenset({"beta"} if context else ()))
        told = EvaluationContext(key, context)
        answers = {
            "gateway": users.served(key, **context).value,
            "ofrep": everyone.ofrep(key, context),
            "provider": client.get_string_value("changeover.system", "", told),
            "mirroring flag": {True: "candidate", False: "baseline"}[
                client.get_boolean_value("new", False, told)],
            "explain": explain(evaluator, key, context, flag="new")["system"],
        }
        assert set(answers.values()) == {meant.value}, (key, answers)
        counted += meant.value == "candidate"
    assert counted == {Mode.GRADUAL: 3_794, Mode.CANDIDATE_ONLY: 10_000}.get(mode, 0)


def everyone_says(everyone: Everyone, key: str) -> str:
    """Return the reason that the console gives for a user."""
    answer = everyone.http.get(f"{everyone.url}/v1/explain", params={"key": key, "flag": "new"})
    return str(answer.json()["flags"]["new"]["why"])


def test_every_mode_can_be_reached_in_this_test() -> None:
    """The ways that this test goes are those of the table, for all modes."""
    assert set(WAYS) == set(Mode)
    for way in WAYS.values():
        for one, other in zip([Mode.BASELINE_ONLY, *way], way, strict=False):
            assert other in TRANSITIONS[one]

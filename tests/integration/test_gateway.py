"""The gateway with a real Envoy: who is served by whom, and what users notice of a dead system."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changeover.clock import now
from changeover.errors import PublishFailed
from changeover.gateway.accesslog import Tailer, classify
from changeover.routing import BUCKETS, Mode, RoutingState, System, decide
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration


def served_by(bench: Bench, **headers: str) -> str:
    """Return which system answers a request with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return str(httpx.get(f"{bench.url}/", headers=named).json()["served_by"])


async def _load(bench: Bench, seconds: float, rate: int, method: str) -> Counter[int | str]:
    """Send requests of many users at a steady rate; count statuses and transport errors."""
    counts: Counter[int | str] = Counter()

    async def one(client: httpx.AsyncClient, number: int) -> None:
        headers = {"x-user-id": f"user-{number % 200}", "x-item": f"item-{number}"}
        try:
            answer = await client.request(method, "/work", headers=headers)
            counts[answer.status_code] += 1
        except httpx.HTTPError as error:
            counts[type(error).__name__] += 1

    users = httpx.AsyncClient(base_url=bench.url, timeout=20)
    async with users as client, asyncio.TaskGroup() as g:
        began = time.monotonic()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            g.create_task(one(client, number))
    return counts


def load_while(bench: Bench, harm, *, method: str = "GET", seconds: float = 3.0) -> Counter:
    """Run load and do harm a third of the way through."""

    async def both() -> Counter[int | str]:
        running = asyncio.create_task(_load(bench, seconds, 150, method))
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(harm)
        return await running

    return asyncio.run(both())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One serving gateway for tests that harm nothing."""
    yield from start_bench(make_plan(), tmp_path_factory.mktemp("shared"))


@settings(max_examples=12, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    weight=st.integers(1, BUCKETS - 1),
    keys=st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1,
                          max_size=30), min_size=20, max_size=40),
)
def test_split_over_the_wire_is_the_bucket_rule(
    shared: Bench, weight: int, keys: list[str]
) -> None:
    """Gateway and code agree on every user at every percentage."""
    shared.move(Mode.GRADUAL, weight)
    with httpx.Client(base_url=shared.url) as client:
        for key in keys:
            answer = client.get("/", headers={"x-user-id": key}).json()["served_by"]
            assert answer == decide(shared.state, key), key


def test_requests_without_key_go_to_the_baseline(shared: Bench) -> None:
    """Nobody is moved by chance."""
    shared.move(Mode.GRADUAL, BUCKETS - 1)
    assert {served_by(shared) for _ in range(20)} == {"baseline"}
    assert served_by(shared, x_user_id="") == "baseline"


def test_segments_go_to_the_candidate(shared: Bench) -> None:
    """A segment's values are taken literally, and nobody else is in it."""
    shared.move(Mode.GRADUAL, 1, segments=("beta",))
    assert served_by(shared, x_cohort="beta") == "candidate"
    assert served_by(shared, x_cohort="a.b|c") == "candidate"
    assert served_by(shared, x_cohort="aXb|c") == "baseline"
    assert served_by(shared, x_cohort="betas") == "baseline"


@pytest.mark.parametrize(("mode", "expected"), [
    (Mode.BASELINE_ONLY, "baseline"), (Mode.SHADOW, "baseline"),
    (Mode.CANDIDATE_ONLY, "candidate"), (Mode.EMERGENCY_ROLLBACK, "baseline"),
])
def test_modes_send_everyone_one_way(shared: Bench, mode: Mode, expected: str) -> None:
    """Outside gradual all users get the same system; a version with the same routes confirms."""
    shared.move(mode)
    shared.move(mode)
    assert {served_by(shared, x_user_id=f"u{n}") for n in range(20)} == {expected}


def test_maintenance_answers_with_the_reason(shared: Bench) -> None:
    """Users are told why and when to come back, whatever the reason's characters."""
    shared.move(Mode.BASELINE_ONLY, maintenance=True, maintenance_reason='moving "the" 100% db')
    answer = httpx.get(f"{shared.url}/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json() == {"error": "maintenance", "reason": 'moving "the" 100% db'}
    shared.move(Mode.BASELINE_ONLY)
    assert served_by(shared) == "baseline"


def test_clients_cannot_speak_in_our_name(shared: Bench) -> None:
    """Headers of ours that a client sends never reach a system."""
    headers = {"x-changeover-key": "x", "x-changeover-shadow": "1", "x-request-id": "mine"}
    seen = httpx.get(f"{shared.url}/", headers=headers).json()["headers"]
    assert not [name for name in seen if name.startswith("x-changeover")]
    assert seen["x-request-id"] == "mine"


def test_salt_changes_who_goes_first(tmp_path: Path) -> None:
    """With a salt the hashed key is salt and key together, and clients cannot set it."""
    plan = make_plan()
    salted = plan.model_copy(
        update={"routing": plan.routing.model_copy(update={"salt": "pepper"})})
    for bench in start_bench(salted, tmp_path):
        bench.move(Mode.GRADUAL, 5000)
        for number in range(60):
            expected = decide(bench.state, f"pepperuser-{number}")
            found = served_by(bench, x_user_id=f"user-{number}", x_changeover_key="x")
            assert found == expected


def _kill(bench: Bench) -> None:
    bench.processes["candidate"].kill()


def _freeze(bench: Bench) -> None:
    bench.processes["candidate"].send_signal(signal.SIGSTOP)


def _answer_503(bench: Bench) -> None:
    bench.fault("503")


@pytest.mark.parametrize("harm", [_kill, _freeze, _answer_503])
def test_no_get_fails_when_the_candidate_does(bench: Bench, harm) -> None:
    """Killed, frozen or answering 503 at 50 % under load: 0 failed GETs, and gates see it."""
    bench.move(Mode.GRADUAL, 5000)
    counts = load_while(bench, lambda: harm(bench))
    assert counts == {200: 450}
    outcomes = _outcomes(bench, 450)
    saved = sum(o.system is System.CANDIDATE and o.error is not None for o in outcomes)
    assert saved > 20
    assert not any(o.is_user_error for o in outcomes)


def test_no_post_runs_twice_when_the_candidate_freezes(bench: Bench) -> None:
    """Whatever may have run is not run again elsewhere."""
    bench.move(Mode.GRADUAL, 5000)
    load_while(bench, lambda: bench.processes["candidate"].kill(), method="POST")
    ran = bench.ran("baseline")["posts"]
    assert len(ran) == len(set(ran)) > 100


def _outcomes(bench: Bench, at_least: int) -> list:
    """Return how the logged requests of the load went."""
    hosts = {bench.plan.systems.baseline.url.removeprefix("http://"): System.BASELINE}
    tailer = Tailer(bench.gateway.files.access_log, hosts)
    found: list = []

    def read() -> bool:
        found.extend(e for e in tailer.read() if e.route.startswith("split"))
        return len(found) >= at_least

    wait_for(read, what="the access log")
    return [outcome for entry in found if (outcome := classify(entry)) is not None]


def test_publish_under_load_loses_nothing(bench: Bench) -> None:
    """Moving users back and forth, and back for good, costs no request."""

    def moves() -> None:
        for weight in (2500, 5000, 7500):
            bench.move(Mode.GRADUAL, weight)
        bench.move(Mode.EMERGENCY_ROLLBACK)

    bench.move(Mode.GRADUAL, 100)
    assert load_while(bench, moves) == {200: 450}
    assert served_by(bench, x_user_id="user-1") == "baseline"


def test_a_refused_configuration_never_replaces_a_good_one(bench: Bench) -> None:
    """Envoy's reason is reported, the old routes serve on, also after a restart."""
    bench.move(Mode.GRADUAL, 5000)
    good = bench.gateway.files.routes.read_bytes()
    broken = make_plan()
    routing = bench.plan.routing.model_copy(update={
        "key": broken.routing.key.model_copy(update={"header": ""})})
    state = RoutingState("bench", Mode.GRADUAL, 100, version=99)
    with pytest.raises(PublishFailed, match="refused"):
        bench.gateway.publish(bench.plan.model_copy(update={"routing": routing}), state)
    assert bench.gateway.files.routes.read_bytes() == good
    assert served_by(bench, x_user_id="u") in ("baseline", "candidate")
    bench.move(Mode.BASELINE_ONLY)
    assert served_by(bench) == "baseline"


def test_an_older_state_never_comes_back(bench: Bench) -> None:
    """Of two publishers that race the later state wins, whoever comes last."""
    rolled_back = RoutingState("bench", Mode.EMERGENCY_ROLLBACK, version=5, epoch=1)
    bench.gateway.publish(bench.plan, rolled_back)
    late = RoutingState("bench", Mode.GRADUAL, 9000, version=9, epoch=0)
    served = bench.gateway.publish(bench.plan, late)
    assert (served.epoch, served.version) == (1, 5)
    assert served_by(bench, x_user_id="u") == "baseline"


def test_publish_while_envoy_is_down_serves_after_its_restart(bench: Bench) -> None:
    """The failure is named, and the file is in place for Envoy's next start."""
    bench.processes["envoy"].kill()
    bench.processes["envoy"].wait()
    state = RoutingState("bench", Mode.CANDIDATE_ONLY, version=50)
    with pytest.raises(PublishFailed, match="in place but not confirmed"):
        bench.gateway.publish(bench.plan, state, timeout=0.2)
    assert bench.gateway.on_disk() == (0, 50)


def test_break_glass_needs_nothing_but_the_files(bench: Bench) -> None:
    """Everyone is at the baseline; publishing waits until the store knows."""
    bench.move(Mode.CANDIDATE_ONLY)
    entry = bench.gateway.break_glass(reason="db down", actor="alice", now=now())
    again = bench.gateway.break_glass(reason="db down", actor="alice", now=now())
    assert entry == again == json.loads(bench.gateway.files.journal.read_text())
    wait_for(lambda: served_by(bench, x_user_id="u") == "baseline", seconds=2)
    with pytest.raises(PublishFailed, match="break glass was used"):
        bench.move(Mode.CANDIDATE_ONLY)
    state = RoutingState("bench", Mode.EMERGENCY_ROLLBACK, version=entry["version"], epoch=1)
    bench.gateway.reconcile(bench.plan, state)
    assert bench.gateway.journal() is None


def test_admin_socket_belongs_to_its_owner(shared: Bench) -> None:
    """Nobody else on the machine can steer or stop Envoy."""
    assert shared.gateway.files.admin_socket.stat().st_mode & 0o777 == 0o600

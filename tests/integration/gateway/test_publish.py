"""Publishing: confirmed, atomic, monotone, and never at the users' expense."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import changeover.gateway.publish as publishing
from changeover.domain.routing import Mode, RoutingState
from changeover.errors import InvalidPlan, PublishFailed, Unreachable
from changeover.gateway import check, routes_on_disk
from changeover.gateway.admin import Admin, Served
from changeover.gateway.envoy.config import Json, render_routes
from changeover.gateway.files import GatewayFiles
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from tests.integration.conftest import Bench, make_plan
from tests.integration.gateway.load import load
from tests.support.processes import LONGEST_PAUSE, kill, running, wait_for

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def _routes_to_nowhere(plan: Plan, state: RoutingState) -> Json:
    text = json.dumps(render_routes(plan, state))
    return json.loads(text.replace('"candidate_or_baseline"', '"nowhere"'))


def _route_to_nowhere(patch: pytest.MonkeyPatch) -> None:
    """Have whoever writes or checks routes write ones that Envoy refuses."""
    for module in (publishing, routes_on_disk):
        patch.setattr(module, "render_routes", _routes_to_nowhere)


def _only_good_routes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Serve good routes, which are returned, and have Envoy refuse whatever follows."""
    bench.move(Mode.GRADUAL, 5_000)
    _route_to_nowhere(monkeypatch)
    return bench.gateway.files.routes.read_bytes()


def _judged_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Envoy not say what it thinks of a configuration."""
    monkeypatch.setattr(check, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(check, "validate_command", lambda _: ["sleep", "60"])


class _LateAdmin(Admin):
    """That of a busy Envoy: no answer at first, then one from before what is published."""

    def __init__(self, socket: Path) -> None:
        super().__init__(socket, timeout=LONGEST_PAUSE)
        self._answers = [None, super().served()]

    def served(self) -> Served:
        answer = self._answers.pop(0) if self._answers else super().served()
        if answer is None:
            raise Unreachable("the gateway does not answer")
        return answer


def _get(bench: Bench, key: str = "someone") -> httpx.Response:
    return httpx.get(f"{bench.url}/", headers={"x-user-id": key}, timeout=LONGEST_PAUSE)


def test_every_publish_is_confirmed_by_envoy(bench: Bench) -> None:
    """Ten publishes, one after the other: each is served when it returns."""
    for weight in range(1000, 11_000, 1000):
        bench.state = replace(
            bench.state, mode=Mode.GRADUAL, weight=weight, version=bench.state.version + 1
        )
        publication = bench.gateway.publish(bench.plan, bench.state)
        assert publication.is_confirmed
        assert wait_for(bench.gateway.served) == bench.state.order


def test_publish_confirms_a_state_whose_routes_are_the_same(bench: Bench) -> None:
    """A version that changes nothing for users is confirmed as well."""
    for mode in (Mode.SHADOW, Mode.PARALLEL, Mode.BASELINE_ONLY):
        bench.move(mode)
        assert wait_for(bench.gateway.served) == bench.state.order


def test_publishing_under_load_fails_no_request(bench: Bench) -> None:
    """Twenty changes of the share while users go on: every answer is a good one."""
    with load(bench.plan) as users:
        for step in range(20):
            bench.move(Mode.GRADUAL, 500 * (step + 1) if step % 2 else 0)
            users.goes_on(40)
    assert users.failed == []
    assert users.served_by("candidate") > 0


def test_rollback_under_load_ends_candidate_requests_at_once(bench: Bench) -> None:
    """Once the publish is confirmed the candidate gets no request any more."""
    bench.move(Mode.GRADUAL, 5_000)
    with load(bench.plan) as users:
        users.goes_on(300)
        bench.state = RoutingState(
            "bench", mode=Mode.EMERGENCY_ROLLBACK, version=bench.state.version + 1, epoch=1
        )
        bench.gateway.publish(bench.plan, bench.state)
        confirmed = time.monotonic()
        users.goes_on(600)
    assert users.serving_since(confirmed) == {"baseline"}
    assert users.failed == []


def test_refused_configuration_leaves_the_good_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy's reason is told, users notice nothing, and the next publish works."""
    good = _only_good_routes(bench, monkeypatch)
    with load(bench.plan) as users:
        users.goes_on(50)
        with pytest.raises(PublishFailed, match=r"unknown cluster 'nowhere'"):
            bench.gateway.publish(bench.plan, replace(bench.state, weight=100, version=99))
        users.goes_on(100)
    assert users.failed == []
    assert bench.gateway.files.routes.read_bytes() == good
    monkeypatch.undo()
    bench.move(Mode.GRADUAL, 6_000)
    assert wait_for(bench.gateway.served) == bench.state.order


def test_publish_that_envoy_refuses_without_a_word_is_taken_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good routes are back although nobody could say in time what was wrong."""
    good = _only_good_routes(bench, monkeypatch)
    monkeypatch.setattr(Admin, "refusal", lambda _: "")
    _judged_for_ever(monkeypatch)
    with pytest.raises(PublishFailed, match="no reason given"):
        bench.gateway.publish(bench.plan, replace(bench.state, weight=100, version=99))
    assert bench.gateway.files.routes.read_bytes() == good


def test_earlier_refusal_is_not_taken_for_a_new_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Envoy that does not say beforehand what it refused gets time to take good routes."""
    bench.move(Mode.GRADUAL, 5_000)

    def publish(gateway: Gateway, timeout: float = LONGEST_PAUSE) -> None:
        gateway.publish(bench.plan, replace(bench.state, version=7), timeout=timeout)

    def busy() -> Gateway:
        found = Gateway(bench.gateway.files)
        found._admin = _LateAdmin(found.files.admin_socket)
        return found

    with monkeypatch.context() as bad:
        _route_to_nowhere(bad)
        with pytest.raises(PublishFailed, match=r"refused version 0[.]7"):
            publish(bench.gateway)
        with pytest.raises(PublishFailed, match=r"refused version 0[.]7"):
            publish(busy(), timeout=0.2)
    assert bench.gateway.on_disk() == bench.state.order
    publish(busy())
    assert wait_for(bench.gateway.served) == (0, 7)


def test_older_state_never_replaces_a_later_one(bench: Bench) -> None:
    """Whoever publishes late is told what is served, and changes nothing."""
    late = replace(bench.state, mode=Mode.GRADUAL, weight=9_999, version=50)
    bench.state = RoutingState("bench", mode=Mode.EMERGENCY_ROLLBACK, version=3, epoch=1)
    bench.gateway.publish(bench.plan, bench.state)
    publication = bench.gateway.publish(bench.plan, late)
    assert (publication.epoch, publication.version) == (1, 3)
    assert _get(bench).json()["served_by"] == "baseline"


def test_racing_publishers_end_at_the_latest_state(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight publishers at once, each with its own Gateway: the latest state serves."""
    for module in (publishing, routes_on_disk):
        monkeypatch.setattr(module, "LOCK_SECONDS", LONGEST_PAUSE)

    def publish(part: list[RoutingState]) -> None:
        for state in part:
            Gateway(bench.gateway.files, patience=LONGEST_PAUSE).publish(bench.plan, state)

    states = [
        replace(bench.state, mode=Mode.GRADUAL, weight=100 * version, version=version)
        for version in range(2, 18)
    ]
    threads = [
        threading.Thread(target=publish, args=(states[number::8],)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert wait_for(bench.gateway.served) == bench.gateway.on_disk() == (0, 17)


def test_publish_without_envoy_is_in_place_for_its_start(bench: Bench) -> None:
    """The publish fails with a reason, and Envoy serves it as soon as it runs again."""
    kill(bench.processes["envoy"])
    bench.state = replace(bench.state, mode=Mode.CANDIDATE_ONLY, weight=10_000, version=7)
    with pytest.raises(PublishFailed, match="is in place but not confirmed"):
        bench.gateway.publish(bench.plan, bench.state, timeout=0.2)
    log = bench.gateway.files.root / "again.log"
    with running(envoy_command(bench.gateway.files), log):
        wait_for(lambda: _get(bench).status_code == 200)
        assert _get(bench).json()["served_by"] == "candidate"
        assert wait_for(bench.gateway.served) == (0, 7)


@contextlib.contextmanager
def waiting_publisher(bench: Bench) -> Iterator[threading.Thread]:
    """Freeze Envoy and have somebody publish, who waits for its confirmation in vain."""
    bench.state = replace(bench.state, mode=Mode.CANDIDATE_ONLY, weight=10_000, version=7)

    def publish() -> None:
        with contextlib.suppress(PublishFailed):
            Gateway(bench.gateway.files).publish(
                bench.plan, bench.state, timeout=2 * LONGEST_PAUSE)

    thread = threading.Thread(target=publish, daemon=True)
    os.kill(bench.processes["envoy"].pid, signal.SIGSTOP)
    try:
        thread.start()
        wait_for(lambda: bench.gateway.on_disk() == (0, 7), what="routes in place")
        yield thread
    finally:
        os.kill(bench.processes["envoy"].pid, signal.SIGCONT)
        thread.join(2 * LONGEST_PAUSE)


def test_break_glass_waits_for_nobodys_confirmation(bench: Bench) -> None:
    """The routes are in place while a publisher before it still waits for Envoy."""
    with waiting_publisher(bench) as publisher:
        entry = Gateway(bench.gateway.files).break_glass(reason="x", actor="Ana", now=NOW)
        assert publisher.is_alive()
        assert bench.gateway.on_disk() == (1, entry["version"])
    assert not publisher.is_alive()
    assert bench.gateway.on_disk() == (1, entry["version"])
    assert _get(bench).json()["served_by"] == "baseline"


def test_rollback_waits_for_nobodys_confirmation(bench: Bench) -> None:
    """Its routes replace those that Envoy has not taken yet."""
    with waiting_publisher(bench) as publisher:
        back = RoutingState("bench", mode=Mode.EMERGENCY_ROLLBACK, version=8, epoch=1)
        with pytest.raises(PublishFailed, match="is in place but not confirmed"):
            Gateway(bench.gateway.files).publish(bench.plan, back, timeout=0.1)
        assert publisher.is_alive()
        assert bench.gateway.on_disk() == back.order
    wait_for(lambda: bench.gateway.served() == back.order, what="the rollback")
    assert _get(bench).json()["served_by"] == "baseline"


@pytest.mark.parametrize("lock", ["publish.lock", "turn.lock"])
def test_process_that_stands_still_holds_up_no_way_back(bench: Bench, lock: str) -> None:
    """Whoever holds a lock and does not go on: break glass and rollbacks go past it."""
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    with (bench.gateway.files.root / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        back = RoutingState("bench", mode=Mode.EMERGENCY_ROLLBACK, version=8, epoch=1)
        assert bench.gateway.publish(bench.plan, back).is_confirmed
        bench.gateway.break_glass(reason="x", actor="Ana", now=NOW)
        wait_for(lambda: _get(bench).json()["served_by"] == "baseline")
        hasty = Gateway(bench.gateway.files, patience=1.0)  # nothing of it reaches Envoy
        with pytest.raises(PublishFailed, match=f"{lock}: not published because another process"):
            hasty.publish(bench.plan, replace(bench.state, version=9, epoch=3))


def test_break_glass_sends_everyone_to_the_baseline(bench: Bench) -> None:
    """With nothing but the files; publishers wait until it is reconciled."""
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    entry = bench.gateway.break_glass(reason="store is gone", actor="Ana", now=NOW)
    assert (entry["epoch"], entry["reason"]) == (1, "store is gone")
    wait_for(lambda: _get(bench).json()["served_by"] == "baseline")
    with pytest.raises(PublishFailed, match="not yet recorded in the store"):
        bench.gateway.publish(bench.plan, replace(bench.state, version=99))
    assert bench.gateway.break_glass(reason="again", actor="Bo", now=NOW) == entry
    bench.state = replace(bench.state, mode=Mode.BASELINE_ONLY, weight=0, version=5, epoch=1)
    bench.gateway.reconcile(bench.plan, bench.state)
    assert bench.gateway.journal() is None
    bench.gateway.publish(bench.plan, bench.state)
    assert wait_for(bench.gateway.served) == (1, 5)


def test_prepare_leaves_users_where_break_glass_sent_them(bench: Bench) -> None:
    """Also when the store's epoch went on since: it does not know of them yet."""
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    bench.gateway.break_glass(reason="wrong sums", actor="Ana", now=NOW)
    later = replace(bench.state, version=9, epoch=4)
    bench.gateway.prepare(bench.plan, later)
    wait_for(lambda: _get(bench).json()["served_by"] == "baseline")
    assert bench.gateway.on_disk() == (1, bench.state.version + 1)
    bench.gateway.reconcile(bench.plan, later)
    assert bench.gateway.on_disk() == (4, 9)


def test_prepare_refuses_what_envoy_would_refuse(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Routes are judged by Envoy itself before anything is written."""
    gateway = Gateway(GatewayFiles(tmp_path / "gateway"))
    _route_to_nowhere(monkeypatch)
    with pytest.raises(InvalidPlan, match=r"unknown cluster 'nowhere'"):
        gateway.prepare(make_plan(), RoutingState("bench", version=1))
    assert not gateway.files.routes.exists()


def test_prepare_writes_nothing_that_envoy_has_not_judged(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Envoy that takes too long is one clear message."""
    gateway = Gateway(GatewayFiles(tmp_path / "gateway"))
    _judged_for_ever(monkeypatch)
    with pytest.raises(Unreachable, match=r"did not check the configuration within 0\.2 s\. Run"):
        gateway.prepare(make_plan(), RoutingState("bench", version=1))
    assert not gateway.files.bootstrap.exists()


def test_prepare_takes_a_changed_plan_of_the_same_state(tmp_path) -> None:
    """A new plan's routes replace the old plan's; later routes on disk stay."""
    gateway, plan = Gateway(GatewayFiles(tmp_path / "gateway")), make_plan()
    gateway.prepare(plan, RoutingState("bench", version=3))
    old = gateway.files.routes.read_bytes()
    system = plan.systems.baseline.model_copy(update={"timeout": plan.systems.baseline.timeout * 2})
    changed = plan.model_copy(
        update={"systems": plan.systems.model_copy(update={"baseline": system})}
    )
    gateway.prepare(changed, RoutingState("bench", version=2))
    assert gateway.files.routes.read_bytes() == old
    gateway.prepare(changed, RoutingState("bench", version=3))
    assert gateway.files.routes.read_bytes() != old


def test_admin_socket_is_the_owners_alone(bench: Bench) -> None:
    """Nobody else on the machine may steer the gateway."""
    mode = bench.gateway.files.admin_socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_segment_of_a_thousand_values_is_accepted(tmp_path) -> None:
    """Values with every kind of character, many of them, pass Envoy's own check."""
    values = [f"group {n} .*+?()[]{{}}|^$\\/\"'_é" for n in range(1000)]
    plan = make_plan(routing={
        "listen": "127.0.0.1:1", "segments": {"many": {"header": "x-cohort", "any_of": values}},
    })
    Gateway(GatewayFiles(tmp_path / "gateway")).prepare(plan, RoutingState("bench", version=1))

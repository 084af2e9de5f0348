"""The shadow service as a process: from users' requests to what the store knows of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.comparisons import Compared, Place
from changeover.domain.routing import Change, Mode
from changeover.gateway.envoy import tap
from changeover.plan.model import Plan
from changeover.shadow.kept import unpacked
from changeover.site.home import Home
from changeover.store import comparisons, divergences, heartbeats, plans, routing, samples
from changeover.store.engine import Store
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import LONGEST_PAUSE, kill, running, upstream, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration

SHADOW = {"sample": 100, "methods": ["GET"], "replay_unsafe": ["POST /ocr"], "noise": 100,
          "max_load": 1, "timeout": "60s", "mask": ["$.headers.cookie"]}
COMPARISON = {"ignore": ["$.headers.host", "$.headers.x-changeover-shadow"], "headers": []}


@dataclass
class Shadowed:
    """A gateway that taps, the service, and its store."""

    bench: Bench
    store: Store
    service: subprocess.Popen[bytes]

    def compared(self) -> int:
        return comparisons.coverage(self.store, "bench").get("compared", 0)

    def ask(self, count: int, **headers: str) -> None:
        with httpx.Client(
            base_url=self.bench.url, headers=headers, timeout=LONGEST_PAUSE
        ) as users:
            for number in range(count):
                assert users.get(f"/item/{number}?token=abc").json()["served_by"] == "baseline"

    def is_warm(self) -> bool:
        self.ask(1)
        return self.compared() > 0

    def compares(self, count: int, **headers: str) -> None:
        """Ask until so many more comparisons are known: what a late service misses is missed."""
        goal = self.compared() + count

        def is_done() -> bool:
            self.ask(5, **headers)
            return self.compared() >= goal

        wait_for(is_done, what=f"{count} comparisons")

    def place(self, field: str) -> Place | None:
        found = [p for p in divergences.places(self.store, "bench") if p.field == field]
        return found[0] if found else None


Service = tuple[subprocess.Popen[bytes], Plan, Home, Store]


@contextmanager
def service_of(module: str, directory: Path, **parts: object) -> Iterator[Service]:
    """The service of a migration in shadow, started by a module's name; it listens."""
    plan = make_plan(shadow=SHADOW, comparison=COMPARISON, **parts)
    home = Home(directory / "home")
    home.create()
    store = ready_store(home.store_url)
    plans.register(store, plan, source="test", now=clock.now())
    routing.change(
        store, "bench", Change(mode=Mode.SHADOW, shadow_sample=10_000), Author("test", "test"),
        now=clock.now())
    command = [sys.executable, "-m", module, "--home", str(home.root), "--migration", "bench"]
    with running(command, directory / "shadow.log") as service:
        wait_for(home.gateway_files.tap_socket.exists, what="the tap")
        yield service, plan, home, store
    store.close()


@pytest.fixture
def shadowed(tmp_path: Path) -> Iterator[Shadowed]:
    """Everyone at the baseline; every GET is copied to the candidate."""
    with service_of("tests.support.shadow", tmp_path) as (service, plan, home, store):
        for bench in start_bench(plan, home.root):
            bench.move(Mode.SHADOW, shadow_sample=10_000)
            found = Shadowed(bench, store, service)
            wait_for(found.is_warm, what="a comparison")
            yield found


def test_every_difference_is_known_with_examples(shadowed: Shadowed) -> None:
    """The candidate's name differs in each answer, and the baseline's never does."""
    shadowed.compares(30, cookie="secret")
    place = shadowed.place("$.served_by")
    assert place is not None
    assert place.counts == {"changed": place.diverged}
    assert (place.only_candidate, place.only_baseline, place.both) == (place.diverged, 0, 0)
    assert place.examples[0]["baseline"] == '"baseline"'
    assert place.examples[0]["candidate"] == '"candidate"'
    assert place.examples[0]["request"].startswith("GET /item/")
    coverage = comparisons.coverage(shadowed.store, "bench")
    assert coverage["compared"] == coverage["paired"]
    soon = clock.now() + timedelta(seconds=1)  # a window has whole seconds: the running one, too
    window = samples.window(shadowed.store, "bench", "candidate",
                            start=soon - timedelta(hours=1), end=soon)
    assert window.measure("match_rate").value == 0
    assert 0 < (window.measure("similarity").value or 0) < 1


def test_masked_places_and_secret_parameters_are_never_stored(shadowed: Shadowed) -> None:
    """The systems here echo the cookie in their answers; the plan masks that place."""

    def kept() -> list[Compared]:
        return [one for _, one in comparisons.saved_answers(shadowed.store, "bench")]

    def bodies() -> list[bytes]:
        return [answer.body for one in kept() for answer in unpacked(one.answers or b"")]

    def are_masked() -> bool:
        shadowed.ask(5, cookie="hush")
        return sum(b'"cookie":"***' in body for body in bodies()) >= 15

    wait_for(are_masked, what="masked answers")
    assert not any(b"hush" in body for body in bodies())
    assert all("token=***" in one.request for one in kept())


def test_candidate_that_does_not_answer_is_a_divergence(shadowed: Shadowed) -> None:
    """Dead is not the same as unmeasured, and users never notice."""
    kill(shadowed.bench.processes["candidate"])

    def place() -> Place | None:
        shadowed.ask(1)
        return shadowed.place("answer")

    assert wait_for(place, what="the divergence").counts.keys() == {"error"}


def test_service_frozen_and_killed_costs_users_nothing(shadowed: Shadowed) -> None:
    """Every request is answered while the service does not take what is sent to it."""
    os.kill(shadowed.service.pid, signal.SIGSTOP)
    shadowed.ask(300)
    kill(shadowed.service)
    shadowed.ask(300)


def test_service_that_is_gone_is_left_alone_by_the_gateway(
    shadowed: Shadowed, tmp_path: Path
) -> None:
    """It is not called again for each request, nor is each told in the log; then it comes back."""
    kill(shadowed.service)
    admin = shadowed.bench.gateway.admin
    ejections = f"cluster.{tap.CLUSTER}.outlier_detection.ejections_active"

    def is_left_alone() -> bool:
        shadowed.ask(10)
        return admin.counters(f"^{ejections}$").get(ejections) == 1

    wait_for(is_left_alone, what="the gateway to give up")
    log = (tmp_path / "home" / "envoy.log").read_text()
    assert "ext_proc" not in log
    before = shadowed.compared()
    with running(shadowed.service.args, tmp_path / "shadow-again.log"):

        def is_compared_again() -> bool:
            shadowed.ask(1)
            return shadowed.compared() > before

        wait_for(is_compared_again, seconds=30, what="a comparison")


@contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a process do nothing until the block ends."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def _flood(bench: Bench) -> None:
    """Have more exchanges under way at once than are streamed."""
    count, active = 3 * tap.MOST_STREAMS, "cluster.baseline.upstream_rq_active"
    with ThreadPoolExecutor(1) as pool:
        with frozen(bench.processes["baseline"]):
            flood = pool.submit(asyncio.run, _ask_at_once(bench.url, count))
            wait_for(lambda: bench.gateway.admin.counters(f"^{active}$") == {active: count},
                     what="requests under way")
        flood.result()


def _has_beaten(store: Store, since: datetime) -> bool:
    return any(beat.service == "shadow" and beat.at > since
               for beat in heartbeats.of(store, "bench"))


async def _ask_at_once(url: str, count: int) -> None:
    async with httpx.AsyncClient(
        base_url=url, timeout=LONGEST_PAUSE, limits=httpx.Limits()
    ) as users:
        answers = await asyncio.gather(*(users.get("/") for _ in range(count)))
    assert {answer.json()["served_by"] for answer in answers} == {"baseline"}


def test_what_the_gateway_cannot_send_is_counted(shadowed: Shadowed) -> None:
    """A service that does not read for a while knows afterwards how much it missed."""

    def missed() -> int:
        found = comparisons.coverage(shadowed.store, "bench")
        return found.get("dropped: gateway's limit of streams", 0)

    def is_counted() -> bool:
        """Flood it once more: what was missed before its first look at the counters is not told."""
        since = clock.now()
        with frozen(shadowed.service):
            _flood(shadowed.bench)
        wait_for(lambda: missed() or _has_beaten(shadowed.store, since), what="a sign of life")
        return missed() > 0

    wait_for(is_counted, what="the count of what was missed")


def test_service_gives_signs_of_life_and_ends_when_told(shadowed: Shadowed) -> None:
    """SIGTERM ends it with exit code 0, and what was compared is saved."""
    shadowed.ask(5)
    wait_for(lambda: any(beat.service == "shadow" for beat in
                         heartbeats.of(shadowed.store, "bench")), what="a sign of life")
    shadowed.service.terminate()
    assert shadowed.service.wait(LONGEST_PAUSE) == 0


def test_service_leaves_the_processor_to_everyone_else(tmp_path: Path) -> None:
    """Its command is of the idle class, and ends when told all the same."""
    with service_of("changeover.shadow", tmp_path) as (service, *_):
        assert os.sched_getscheduler(service.pid) == os.SCHED_IDLE
        service.terminate()
        assert service.wait(5 * LONGEST_PAUSE) == 0


def test_recorded_traffic_is_replayed_by_the_command(tmp_path: Path) -> None:
    """Exit code 1 says that the systems differ; JSON says where."""
    plan = make_plan(comparison=COMPARISON)
    file, requests = tmp_path / "plan.yaml", tmp_path / "requests.jsonl"
    file.write_text(plan.model_dump_json(exclude_none=True, exclude_defaults=True, by_alias=True))
    requests.write_text('{"path": "/a"}\n{"method": "POST", "path": "/b"}\n')
    ports = [int(plan.system(name).url.rsplit(":", 1)[1]) for name in ("baseline", "candidate")]
    with upstream("baseline", ports[0], tmp_path), upstream("candidate", ports[1], tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "changeover.cli", "replay", str(requests), "--plan", str(file),
             "--output", "json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["coverage"]["skipped: not safe"] == 1
    assert "$.served_by" in [place["place"] for place in found["places"]]


def test_replay_against_closed_ports_fails(tmp_path: Path) -> None:
    """Systems that fail alike do not agree."""
    file, requests = tmp_path / "plan.yaml", tmp_path / "requests.jsonl"
    file.write_text(
        make_plan().model_dump_json(exclude_none=True, exclude_defaults=True, by_alias=True))
    requests.write_text('{"path": "/a"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "changeover.cli", "replay", str(requests), "--plan", str(file)],
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert "0.00% match" in done.stdout
    assert "1 no answer from the baseline" in done.stdout
    assert "both systems fail" in done.stdout


def test_traffic_is_replayed_in_an_environment(tmp_path: Path) -> None:
    """`--env` names one, as everywhere: its systems and rules count."""
    plan = make_plan(comparison=COMPARISON, environments={
        "testing": {"comparison": {"ignore": ["$"]}}})
    file, requests = tmp_path / "plan.yaml", tmp_path / "requests.jsonl"
    file.write_text(plan.model_dump_json(exclude_none=True, exclude_defaults=True, by_alias=True))
    requests.write_text('{"path": "/a"}\n')
    ports = [int(plan.system(name).url.rsplit(":", 1)[1]) for name in ("baseline", "candidate")]

    def replay(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "changeover.cli", "replay", str(requests), "--plan", str(file),
             *more], capture_output=True, text=True, timeout=300, check=False)

    with upstream("baseline", ports[0], tmp_path), upstream("candidate", ports[1], tmp_path):
        assert replay().returncode == 1
        found = replay("--env", "testing")
        assert found.returncode == 0, found.stdout + found.stderr
    refused = replay("--env", "nowhere")
    assert refused.returncode == 2
    assert "testing" in refused.stderr

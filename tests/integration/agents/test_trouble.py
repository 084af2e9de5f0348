"""The webhook receiver when its agents, its console or its callers misbehave: nothing is lost."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.claims import NewClaim
from changeover.domain.routing import Mode, System
from changeover.site.home import Home
from changeover.store import claims, samples
from examples.agents import receiver, tracker
from examples.agents.settings import Settings
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Served, started
from tests.support.processes import free_port

pytestmark = pytest.mark.integration

SECRET = "only GitHub knows it"
GOOD = 200, b'{"label": "bug", "confidence": 0.5}'
HTML = 200, b"<html>please log in</html>"
Answer = Callable[[str, str, bytes], tuple[int, bytes] | None]


@contextmanager
def answering(answer: Callable[[str, str, bytes], tuple[int, bytes]]) -> Iterator[str]:
    """Serve what a function of (method, path, body) returns; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, content = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  the name that the base class asks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass
class Site:
    """A real console, two agents that answer as told, and the receiver between them."""

    console: Served
    stack: ExitStack
    agents: dict[str, tuple[int, bytes]] = field(
        default_factory=lambda: {"baseline": GOOD, "candidate": GOOD})
    override: Answer = lambda _method, _path, _body: None
    worked: list[tuple[str, int | None]] = field(default_factory=list)
    settings: Settings | None = None

    def begin(self) -> None:
        """Start the agents, and a relay to the console that `override` may answer for."""
        token = self.console.token()
        client = self.console.client(token)

        def agent(name: str) -> str:
            def work(_method: str, _path: str, body: bytes) -> tuple[int, bytes]:
                self.worked.append((name, json.loads(body)["token"]))
                return self.agents[name]
            return self.stack.enter_context(answering(work))

        def relay(method: str, path: str, body: bytes) -> tuple[int, bytes]:
            own = self.override(method, path, body)
            if own is not None:
                return own
            headers = {"content-type": "application/json"} if body else {}
            answer = client.request(method, path, content=body, headers=headers)
            return answer.status_code, answer.content

        console = self.stack.enter_context(answering(relay))
        self.settings = Settings(agent("baseline"), agent("candidate"), console, token, SECRET)

    def deliver(self, number: int = 1, repository: str = "acme/shop") -> httpx.Response:
        """Deliver an issue event."""
        body = json.dumps({
            "action": "opened", "issue": {"number": number, "title": "App crashes"},
            "repository": {"full_name": repository}}).encode()
        return self.send(body, hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest())

    def send(self, body: Any, sign: str) -> httpx.Response:
        """Send a body to the receiver."""
        assert self.settings is not None
        transport = httpx.ASGITransport(receiver.application(self.settings))

        async def post() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://r") as client:
                return await client.post("/webhooks/github", content=body, headers={
                    "x-github-event": "issues", "x-github-delivery": "72d3162e-cc78",
                    "x-hub-signature-256": f"sha256={sign}"})

        return asyncio.run(post())

    def outcomes(self, system: str) -> tuple[int, int]:
        """Return how many outcomes a system has, and how many of them are failures."""
        now = clock.now()
        found = samples.window(self.console.store, "bench", system, start=now - timedelta(hours=1),
                               end=now + timedelta(seconds=2))
        return found.outcomes, found.failures

    def done_by(self, item: str = "acme:shop:1") -> str | None:
        """Return whose claim of an item is done."""
        found = claims.one(self.console.store, "bench", item)
        return found.system if found is not None and found.status.value == "done" else None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Everything running, everyone at the baseline."""
    with ExitStack() as stack:
        found = Site(started(stack, Home(tmp_path / "home"), make_plan()), stack)
        found.begin()
        yield found


def test_an_outcome_that_is_not_taken_is_no_failure_of_the_agent(site: Site) -> None:
    """The candidate did the work: nothing is handed over, nobody works twice."""
    site.console.move(Mode.GRADUAL, 10_000)
    site.override = lambda _method, path, _body: (503, b"{}") if "outcomes" in path else None
    assert site.deliver().json()["status"] == "done"
    assert site.done_by() == "candidate"
    assert site.worked == [("candidate", 1)]


@pytest.mark.parametrize("answer", [HTML, (200, b'{"label": "bug"}'), (500, b"")], ids=str)
def test_what_is_no_answer_of_the_candidate_is_the_baselines_to_do(
    site: Site, answer: tuple[int, bytes]
) -> None:
    """A page, half an answer, an error: the claim passes on, and the failure is reported."""
    site.console.move(Mode.GRADUAL, 10_000)
    site.agents["candidate"] = answer
    assert site.deliver().json()["system"] == "baseline"
    assert site.done_by() == "baseline"
    assert site.worked == [("candidate", 1), ("baseline", 2)]
    assert (site.outcomes("candidate"), site.outcomes("baseline")) == ((1, 1), (1, 0))


@pytest.mark.parametrize("answer", [HTML, (500, b"")], ids=str)
def test_a_rehearsal_that_fails_is_noticed_by_gates_alone(
    site: Site, answer: tuple[int, bytes]
) -> None:
    """In parallel the user has the baseline's work, whatever the candidate answers."""
    site.console.move(Mode.PARALLEL)
    site.agents["candidate"] = answer
    assert site.deliver().json() == {
        "status": "done", "system": "baseline", "label": "bug", "rehearsed": ["candidate"],
        "because": "the mode is parallel"}
    assert site.outcomes("candidate") == (1, 1)


def test_a_mode_that_changed_before_the_claim_is_followed(site: Site) -> None:
    """Decided for the candidate, claimed after a rollback: the baseline does it at once."""
    decided = json.dumps({"system": "candidate", "both": False, "because": "x"}).encode()
    site.override = lambda _method, path, _body: (200, decided) if "decision" in path else None
    assert site.deliver().json()["system"] == "baseline"
    assert site.worked == [("baseline", 1)]


def test_what_another_delivery_holds_is_delivered_again(site: Site) -> None:
    """If that one dies, this one must not count as delivered."""
    plan = site.console.plan
    claims.carry_out(site.console.store, "bench", [claims.claiming(NewClaim(
        "acme:shop:1", System.BASELINE, "another", plan.claims.lease))])
    answer = site.deliver()
    assert answer.status_code == 503 and "held" in answer.json()["detail"]
    assert site.worked == []


def test_without_a_console_everything_is_delivered_again(site: Site) -> None:
    """No answer, no decision, no work; and nothing that GitHub takes for done."""
    assert site.settings is not None
    site.settings = replace(site.settings, console_url=f"http://127.0.0.1:{free_port()}")
    answer = site.deliver()
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert site.worked == []


def test_the_longest_names_of_repositories_are_reported_too(site: Site) -> None:
    """An owner of 39 letters and a repository of 100, as GitHub allows."""
    owner, repository = "o" * 39, "r" * 100
    assert site.deliver(2_000_000_000, f"{owner}/{repository}").json()["status"] == "done"
    assert site.done_by(f"{owner}:{repository}:2000000000") == "baseline"
    assert site.outcomes("baseline") == (1, 0)


def test_bodies_are_not_read_without_a_signature_or_beyond_githubs_size(site: Site) -> None:
    """Neither a stranger's nor an endless one fills the memory."""
    read: list[int] = []

    async def endless() -> Any:
        for _ in range(100):
            read.append(1)
            yield b"x" * (1 << 20)

    assert site.send(endless(), "short").status_code == 401
    assert len(read) <= 1
    assert site.send(endless(), "0" * 64).status_code == 413
    assert len(read) < 40


def test_a_slow_holder_and_the_next_one_leave_one_resolution(tmp_path: Path) -> None:
    """Whichever comes first, the second finds it or is refused: look and write are one step."""
    number = iter(range(2))
    first = {"item": "i", "token": 1, "by": "candidate", "label": "bug"}
    second = {**first, "token": 2, "by": "baseline"}

    async def resolve(*works: dict[str, Any]) -> tuple[list[int], list[str]]:
        folder = tmp_path / str(next(number))
        folder.mkdir()
        transport = httpx.ASGITransport(tracker.application(folder))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            codes = [(await client.post("/resolutions", json=each)).status_code for each in works]
            found = (await client.get("/resolutions", params={"item": "i"})).json()
        return codes, [each["by"] for each in found]

    assert asyncio.run(resolve(first, second)) == ([201, 201], ["candidate"])
    assert asyncio.run(resolve(second, first)) == ([201, 409], ["baseline"])

"""A fleet at 50 % whose PostgreSQL crashes and comes back, beside users and people who decide.

What a test asserts and `benchmarks.database_stopped` measures is one story.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from changeover import clock
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.routing import Mode
from changeover.errors import StoreError
from changeover.store import cutovers, instructions
from tests.integration.node.conftest import Fleet, Node, start_fleet
from tests.integration.observer.conftest import NO_FAST_PATH
from tests.support.postgres import OwnPostgres
from tests.support.processes import LONGEST_PAUSE, meanwhile, wait_for

SLOW = {"name": "slow", "metric": "latency_p95", "above": "200ms", "for": "1s", "over": "2s",
        "min_samples": 3, "action": "rollback"}
NODES = ("edge-1", "edge-2", "edge-3")
STAGE = "gradual-50"


@dataclass
class Users:
    """Steady requests of new users to one gateway, and how each was answered."""

    url: str
    answers: Counter[str] = field(default_factory=Counter)
    last_candidate: float = 0.0

    def send(self, done: threading.Event) -> None:
        """Send until it is told to end."""
        with httpx.Client(trust_env=False, timeout=LONGEST_PAUSE) as client:
            for number in itertools.count():
                if done.wait(0.03):
                    return
                try:
                    answer = client.get(self.url, headers={"x-user-id": f"{self.url}-{number}"})
                    answer.raise_for_status()
                    served = str(answer.json()["served_by"])
                except httpx.HTTPError as error:
                    served = f"failed: {error!r}"
                if served == "candidate":
                    self.last_candidate = time.monotonic()
                self.answers[served] += 1

    @property
    def failed(self) -> dict[str, int]:
        """How often which failure came."""
        return {text: count for text, count in self.answers.items() if text.startswith("failed")}


@dataclass
class People:
    """Somebody who pauses and resumes the cutover until the database says no."""

    fleet: Fleet
    cutover_id: int
    given: list[str] = field(default_factory=list)
    refused: str = ""

    def decide(self, done: threading.Event) -> None:
        """Decide again and again; note what was taken, and the first one that was not."""
        ways = ((InstructionKind.PAUSE, instructions.pause),
                (InstructionKind.RESUME, instructions.resume))
        for number, (kind, give) in enumerate(itertools.cycle(ways)):
            if done.wait(0.005):
                return
            reason = f"decision {number}"
            said = Instruction(self.cutover_id, kind, "ann", reason, clock.now())
            try:
                give(self.fleet.store, said)
            except StoreError:
                self.refused = reason
                return
            self.given.append(reason)

    def stored(self) -> list[str]:
        """Return the reasons of what the store has of this person, oldest first."""
        found = instructions.all_of(self.fleet.store, self.cutover_id)
        return [each.reason for each in found if each.actor == "ann"]


@dataclass
class Stopped:
    """The story so far."""

    fleet: Fleet
    postgres: OwnPostgres
    nodes: list[Node]
    users: dict[str, Users]
    people: People
    since: int = field(default_factory=lambda: int(time.time()))
    began: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, *, since: float) -> None:
        """Note how many seconds something took."""
        self.seconds[name] = time.monotonic() - since

    @property
    def gateways(self) -> list[str]:
        """Names of the gateways whose users are at the baseline by their own decision."""
        found = [node.name for node in self.nodes if node.gateway.journal() is not None]
        return [*(["main"] if self.fleet.bench.gateway.journal() is not None else []), *found]

    def crash(self) -> None:
        """Stop the database while people decide, and wait until every node says so."""
        with meanwhile(self.people.decide):
            wait_for(lambda: len(self.people.given) > 20, what="people decide")
            self.began = time.monotonic()
            self.postgres.crash()
            wait_for(lambda: self.people.refused, what="a decision is refused")
        wait_for(lambda: all("cut off" in node.ready().text for node in self.nodes),
                 what="every node says that it is cut off")
        self.note("every node says that it is cut off", since=self.began)

    def fail(self) -> None:
        """Have the candidate answer slowly, and wait until every gateway left it by itself."""
        began = time.monotonic()
        self.fleet.bench.fault("slow")
        wait_for(lambda: self.gateways == ["main", *NODES], what="every gateway goes back")
        since = {name: each.answers["baseline"] for name, each in self.users.items()}
        wait_for(lambda: all(each.answers["baseline"] > since[name] + 30
                             for name, each in self.users.items()), what="users at the baseline")
        last = max(each.last_candidate for each in self.users.values())
        self.seconds["slow candidate to its last answer anywhere"] = last - began

    def wait(self, seconds: float) -> None:
        """Keep the database away for so long in all."""
        wait_for(lambda: time.monotonic() - self.began >= seconds, seconds=seconds,
                 what="the time is over")

    def come_back(self) -> None:
        """Start the database, and wait until all is told and everyone follows the store."""
        self.postgres.start()
        began = time.monotonic()
        self.note("the database was away", since=self.began)
        wait_for(lambda: self.gateways == [], what="what every gateway did is recorded")
        self.note("back to all told", since=began)
        wait_for(self._all_follow, what="every node follows the store")
        self.note("back to every node at the store's routes", since=began)

    def _all_follow(self) -> bool:
        order = self.fleet.state().order
        rows = [node.row() for node in self.nodes]
        return all(row is not None and row.order == order and not row.unrecorded for row in rows)


def begin(stack: ExitStack, directory: Path, postgres: OwnPostgres) -> Stopped:
    """Start the main machine with its observer and three nodes, a cutover at 50 %, and its users.

    Args:
        stack: Ends all of it.
        directory: Where files are kept.
        postgres: The server that is to crash.
    """
    fleet = start_fleet(
        stack, directory, postgres.url, triggers=[SLOW], guardrails=NO_FAST_PATH,
        phases=[{"phase": "gradual", "stages": [{"percent": 50, "soak": "1h"}]}])
    fleet.start_observer()
    nodes = fleet.start(*NODES)
    cutover = cutovers.begin(fleet.store, "bench", flow_run_id="one", now=clock.now())
    fleet.move(Mode.GRADUAL, 5000)
    cutovers.enter_stage(fleet.store, cutover.id, fleet.plan.stages()[0], now=clock.now())
    urls = {"main": fleet.bench.url, **{node.name: node.url for node in nodes}}
    users = {name: Users(url) for name, url in urls.items()}
    for each in users.values():
        stack.enter_context(meanwhile(each.send))
    wait_for(lambda: all(min(each.answers["baseline"], each.answers["candidate"]) > 20
                         for each in users.values()), what="users of both systems everywhere")
    return Stopped(fleet, postgres, nodes, users, People(fleet, cutover.id))

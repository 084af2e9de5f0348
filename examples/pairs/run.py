"""One run of a pair: both systems, Changeover around them, clients, differences, the result."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from changeover.errors import EXIT_FAILED, EXIT_OK, EnvironmentProblem
from changeover.gateway.accesslog import Entry, refusal
from changeover.gateway.tailer import Tailer
from changeover.machine.files import write_atomically
from changeover.machine.ports import free_port
from changeover.plan.load import load_plan
from changeover.site.home import HOME_VARIABLE, Home
from changeover.site.site import Site
from changeover.supervisor.child import Child
from changeover.supervisor.demo import Demo, Faults, stats_file
from changeover.supervisor.stack import Settings, Stack
from changeover.supervisor.up import kept, running
from examples.pairs import differences
from examples.pairs.clients import Clients
from examples.pairs.differences import Listed, Result
from examples.pairs.pair import Pair, Where

PORT = re.compile(r"(?<!\d)86\d\d(?!\d)")
"""Ports in a pair's files; a free one takes the place of each."""
AFTER_SECONDS = 15.0
"""How long the clients go on when all users are at the candidate."""
WAIT_SECONDS = 300.0
"""Longest wait for a service, or for a listed difference that was not found yet."""
OLDER = ", begun before"
Show = Callable[[str], None]


@dataclass
class Run:
    """A pair on its way from 0 to 100 %.

    Args:
        pair: What moves.
        home: An empty home directory.
        show: Shows one line.
    """

    pair: Pair
    home: Home
    show: Show
    _listed: list[Listed] = field(default_factory=list)

    def run(self) -> int:
        """Move the pair; return 0 when nobody noticed anything and just what is listed differs."""
        self._listed = differences.read(self.pair.folder / "differences.yaml")
        self.pair.require()
        environments = self.home.root.parent / "environments" / self.pair.name
        self.pair.make_environments(environments)
        ports = self._place_files()
        plan = load_plan(self.home.root / "plan.yaml")
        where = Where(
            f"http://{plan.routing.listen}", plan.systems.baseline.url,
            plan.systems.candidate.url, self.home.root, environments.resolve(), ports)
        self.pair.prepare(where)
        settings = Settings(
            self.home.root / "plan.yaml", free_port(), free_port(), f"127.0.0.1:{free_port()}",
            system_env={HOME_VARIABLE: str(self.home.root), "VENVS": str(where.environments)})
        stack = Stack(self.home, plan, settings, self.show)
        with self._services(where), running(stack) as store, kept(stack.keeper):
            self.show(f"Prefect: {stack.ui_url}  Console: {stack.console_url}")
            return self._move(Site(self.home, plan, store), where)

    def _place_files(self) -> dict[int, int]:
        """Copy the pair's files into the home directory, on free ports; return which are which."""
        texts = {each.name: each.read_text() for each in sorted(self.pair.folder.iterdir())
                 if each.is_file() and each.suffix != ".py"}
        wanted = {int(port) for text in texts.values() for port in PORT.findall(text)}
        ports = {port: free_port() for port in sorted(wanted)}
        for name, text in texts.items():
            write_atomically(self.home.root / name, PORT.sub(
                lambda found: str(ports[int(found[0])]), text))
        return ports

    @contextlib.contextmanager
    def _services(self, where: Where) -> Iterator[None]:
        """Run what the systems need beside them."""
        with contextlib.ExitStack() as ends:
            for name, (command, port) in self.pair.services(where).items():
                child = Child(name, command, self.home.logs / f"{name}.log",
                              directory=where.work, restart=False)
                child.start()
                ends.callback(child.end)
                deadline = time.monotonic() + WAIT_SECONDS
                while not _listens(port):
                    if time.monotonic() > deadline or not child.is_alive:
                        raise EnvironmentProblem(
                            f"{name} does not listen: {child.tail()}",
                            next_step=f"Read {child.log}")
                    time.sleep(0.1)
            yield

    def _move(self, site: Site, where: Where) -> int:
        clients = Clients(self.pair.clients(where), stats_file(self.home))
        entries = Tailer(site.home.gateway_files.access_log, {})
        with clients.working():
            demo = Demo(site, self.show, approves=True, fault=None,
                        faults=Faults({}, "", self.home.root / "faults.json"),
                        objection=lambda stage: self._objection(site))
            code = demo.run()
            moved_at = time.time()
            before = Counter(_who(each) for each in _all(entries))
            if code == EXIT_OK:
                time.sleep(AFTER_SECONDS)
        after = Counter(_who(each) + _since(each, moved_at) for each in _all(entries))
        result = differences.examine(site.store, site.migration, self._listed)
        return self._result(code, clients, result, (before, after))

    def _objection(self, site: Site) -> str:
        """Say what speaks against the move, when the shadow phase has compared enough."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            result = differences.examine(site.store, site.migration, self._listed)
            # what is listed and not found may still come; what is not listed never goes away
            if not result.missing or result.unlisted or time.monotonic() > deadline:
                self.show(f"{result.compared} answers compared; "
                          + (result.problem or f"just the {len(result.counts)} listed differ"))
                return result.problem
            time.sleep(1)

    def _result(self, code: int, clients: Clients, result: Result,
                served: tuple[Counter[str], Counter[str]]) -> int:
        show, (before, after) = self.show, served
        show(f"differences listed beforehand, in {result.compared} compared answers:")
        for listed, number in result.counts.items():
            show(f"  {number:>6} × {listed.text}")
        show(result.problem or "no other differences")
        for name, number in clients.requests.items():
            show(f"{name}: {clients.acts[name]} acts, {number} requests or messages")
        for client in clients.clients:
            for text, number in Counter(client.remarks).items():
                show(f"{client.name}: {number} × {text}")
        show(f"gateway until promoted: {_in_words(before)}; in {AFTER_SECONDS:.0f} s after: "
             f"{_in_words(after)}")
        for text in clients.noticed[:10]:
            show(f"NOTICED {text}")
        show(f"clients noticed: {len(clients.noticed)}")
        bad = {"failed", "refused"} & {each.removesuffix(OLDER) for each in (*before, *after)}
        is_good = (code == EXIT_OK and not result.problem and not clients.noticed and not bad
                   and "baseline" not in after)
        show("moved, and nobody noticed" if is_good else "NOT as it should be")
        return EXIT_OK if is_good else (code or EXIT_FAILED)


def _who(entry: Entry) -> str:
    """Return who answered a request, or that nobody did."""
    if refusal(entry) is not None:
        return "refused"
    status, served = entry.status, entry.served_by
    return str(served) if served is not None and 0 < status < 500 else "failed"


def _since(entry: Entry, moved_at: float) -> str:
    """Say of a request that ended after the move that it began before, as a long session does."""
    return OLDER if entry.end - entry.duration_us / 1e6 < moved_at else ""


def _all(tailer: Tailer) -> Iterator[Entry]:
    while batch := tailer.read():
        yield from batch


def _in_words(counts: Counter[str]) -> str:
    return "; ".join(f"{number} {name}" for name, number in sorted(counts.items()))


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0

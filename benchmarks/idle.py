"""What a migration costs while nothing happens: memory and CPU of every process.

    python -m benchmarks.idle [--minutes 10] [--no-peer]

A whole `changeover up` without a user's request, the health check of every minute included. Before
it, for as long, the peer: `prefect server start` and `prefect worker start` alone, with Prefect's
own settings and no flow to run; not at once, or each would seem smaller by the pages they share.
Memory is PSS, in which pages that processes share are counted once. CPU includes that of processes
which began and ended within the time. The two systems belong to the user and are left out.
Claimed: at most 600 MB (median) and 5 % of one core. Linux only. Exit code 1 when a claim does not
hold.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil

from changeover.domain.routing import System
from changeover.site.home import Home
from changeover.site.prefect_api import PrefectApi
from tests.support.processes import free_port, running, wait_for
from tests.support.site import PLAN, QUICK, ROOT, started

MOST_MB, MOST_SHARE = 600, 0.05
EVERY_SECONDS = 5.0
SETTLING_SECONDS = 60.0
"""The start itself, with all its imports, is not what a month costs."""


class Family:
    """A process, what it starts, and what they use.

    Args:
        pid: Process id of the first one.
        is_alone: Leave out what it starts.
    """

    def __init__(self, pid: int, *, is_alone: bool = False) -> None:
        self._root, self._is_alone = psutil.Process(pid), is_alone
        self.megabytes: list[float] = []
        self._before = self._cpu()
        self.cpu_seconds = 0.0

    def sample(self) -> None:
        """Note the memory of now, and the CPU used since the beginning."""
        self.megabytes.append(sum(map(_pss, self._members())))
        self.cpu_seconds = self._cpu() - self._before

    def _members(self) -> list[psutil.Process]:
        if self._is_alone:
            return [self._root]
        return [self._root, *self._root.children(recursive=True)]

    def _cpu(self) -> float:
        """Return the CPU seconds of all that live, and of their children that have ended."""
        total = 0.0
        for member in self._members():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system
                if not self._is_alone:
                    total += times.children_user + times.children_system
        return total


def _pss(process: psutil.Process) -> float:
    """Return a process's proportional set size in MB; 0 when it has just ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def measure(families: Mapping[str, Family], minutes: float) -> tuple[float, float]:
    """Watch for some minutes, print a line for each, and return (MB, share of a core) in all."""
    seconds = minutes * 60
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(EVERY_SECONDS)
        for family in families.values():
            family.sample()
    for name, family in families.items():
        share = family.cpu_seconds / seconds
        print(f"  {name:<16} {statistics.median(family.megabytes):6.0f} MB "
              f"(most {max(family.megabytes):4.0f})  {share:6.2%}")
    totals = [sum(row) for row in zip(*(f.megabytes for f in families.values()), strict=True)]
    megabytes = statistics.median(totals)
    share = sum(family.cpu_seconds for family in families.values()) / seconds
    print(f"  {'in all':<16} {megabytes:6.0f} MB (most {max(totals):4.0f})  {share:6.2%}")
    return megabytes, share


@contextlib.contextmanager
def peer(folder: Path) -> Iterator[dict[str, Family]]:
    """Run Prefect's server and worker as its documentation says."""
    port = free_port()
    api = PrefectApi(f"http://127.0.0.1:{port}/api")
    environment = {"PREFECT_HOME": str(folder / "peer"), "PREFECT_API_URL": api.url,
                   "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    prefect = [sys.executable, "-m", "prefect"]
    serve = [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    work = [*prefect, "worker", "start", "--pool", "peer", "--type", "process"]
    with running(serve, folder / "server.log", **environment) as server:
        wait_for(api.is_alive, seconds=150, what="the peer's server")
        with running(work, folder / "worker.log", **environment) as worker:
            time.sleep(SETTLING_SECONDS)
            yield {"prefect-server": Family(server.pid), "worker": Family(worker.pid)}


@contextlib.contextmanager
def own(folder: Path) -> Iterator[dict[str, Family]]:
    """Run `changeover up` with a plan that uses every service."""
    ports = {name: free_port() for name in ("baseline", "candidate", "listen")}
    plan = folder / "site.yaml"
    plan.write_text(PLAN.format(root=ROOT, **ports) + QUICK)
    home = Home(folder / "home")
    with started(home, plan, folder) as supervisor:
        time.sleep(SETTLING_SECONDS)
        known = home.settings()["processes"]
        families = {"supervisor": Family(supervisor.pid, is_alone=True)}
        for name in known:
            if name not in list(System):
                families[name] = Family(int(known[name]["pid"]))
        yield families
        print(f"  health checks that ended well: {_health_checks(home)}")


def _health_checks(home: Home) -> int:
    """Return how many health checks have completed since the start."""
    where = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
             "flows": {"name": {"any_": ["health-check"]}}}
    url = home.settings()["api_url"] + "/flow_runs/count"
    return int(httpx.post(url, json=where, timeout=60).json())


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--no-peer", action="store_true", help="Only what is our own.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name:
        folder = Path(name)
        alone = None
        if not given.no_peer:
            print("Prefect's server and worker alone:")
            with peer(folder) as families:
                alone = measure(families, given.minutes)
        print("changeover up:")
        with own(folder) as families:
            megabytes, share = measure(families, given.minutes)
    print(f"{megabytes:.0f} MB (claimed: at most {MOST_MB}), {share:.1%} of one core "
          f"(claimed: at most {MOST_SHARE:.0%})")
    if alone is not None:
        print(f"ratio to the peer: memory {megabytes / alone[0]:.2f}, CPU {share / alone[1]:.2f}")
    return 0 if megabytes <= MOST_MB and share <= MOST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())

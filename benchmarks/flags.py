"""What a flag costs: our own evaluation, through the OpenFeature SDK, and over OFREP.

    python -m benchmarks.flags [--part own|sdk|ofrep|change] [--rounds 7]

Peers are measured in the same run, in turns. `own` is the best of many rounds of 100,000
evaluations with the loop around them, in CPU seconds; `sdk` are ratios of medians; `ofrep` counts
the server's own CPU seconds, so that a busy machine does not count; `change` is from the commit in
the store to the answer at the client. Exit code 1 when a claim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import FeatureProvider
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from changeover.clock import now
from changeover.domain.audit import Author
from changeover.domain.routing import RoutingState, bucket
from changeover.flags.by_hand import with_value
from changeover.flags.evaluate import Evaluator
from changeover.flags.snapshot import of_plan
from changeover.flags.state import FlagEdit, FlagState
from changeover.plan.flags import as_document
from changeover.plan.load import parse_plan
from changeover.sdk.openfeature import ChangeoverProvider
from changeover.store import flags, plans
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.support.processes import free_port, running, wait_for

FLAGS = """\
flags:
  plain: true
  share: {rules: [{segments: [beta], variant: enabled}, {percent: 25, variant: enabled}]}
"""
PLAN = parse_plan(GOOD + FLAGS, "benchmark")
USERS = [f"user-{number}" for number in range(1_000)]
CONTEXT = {"x-cohort": "public", "country": "DE"}
FLAGD = {"flags": {
    "plain": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
    "share": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
              "targeting": {"if": [{"==": [{"var": "x-cohort"}, "beta"]}, "on",
                                   {"fractional": [["on", 25], ["off", 75]]}]}}}}
Row = tuple[str, str, bool]


def own(rounds: int) -> list[Row]:
    """Measure the direct call."""
    evaluator = Evaluator(of_plan(PLAN, RoutingState("shop")))
    rows = []
    for name, flag, most in (("boolean", "plain", 0.5), ("percentage with segment", "share", 1.0)):
        def loop(flag: str = flag) -> None:
            evaluate, context = evaluator.evaluate, CONTEXT
            for _ in range(100):
                for user in USERS:
                    evaluate(flag, user, context)

        times = sorted(timeit.repeat(loop, number=1, repeat=rounds * 5,
                                     timer=time.process_time))
        best, usual = (1e6 * times[at] / 100_000 for at in (0, len(times) // 2))
        rows.append((f"own evaluation, {name}: under {most} µs",
                     f"{best:.2f} µs (median of rounds {usual:.2f})", best < most))
    return rows


def _split(flag: InMemoryFlag[bool], context: EvaluationContext) -> FlagResolutionDetails[bool]:
    """The same rule by hand, as a user of the in-memory provider would write it."""
    inside = (context.attributes.get("x-cohort") == "beta"
              or bucket(context.targeting_key or "") < 2_500)
    variant = "on" if inside else "off"
    return FlagResolutionDetails(value=flag.variants[variant], variant=variant,
                                 reason=Reason.SPLIT, flag_metadata=flag.flag_metadata)


def _peers(folder: Path, store: Store) -> dict[str, FeatureProvider]:
    path = folder / "flags.json"
    path.write_text(json.dumps(FLAGD))
    both = {"on": True, "off": False}
    return {
        "ours": ChangeoverProvider.from_store(store, "shop"),
        "in-memory": InMemoryProvider({
            "plain": InMemoryFlag("on", both),
            "share": InMemoryFlag("off", both, context_evaluator=_split)}),
        "flagd": FlagdProvider(resolver_type=ResolverType.FILE,
                               offline_flag_source_path=str(path)),
    }


def _through(client: OpenFeatureClient, flag: str) -> float:
    """Return the microseconds of an evaluation through the SDK."""
    contexts = [EvaluationContext(user, CONTEXT) for user in USERS]
    began = time.process_time()
    for _ in range(5):
        for context in contexts:
            client.get_boolean_value(flag, False, context)
    return (time.process_time() - began) * 1e6 / (5 * len(contexts))


def sdk(rounds: int) -> list[Row]:
    """Measure our provider against the SDK's own and flagd's, in turns."""
    with tempfile.TemporaryDirectory() as name, _site(Path(name)) as store:
        peers = _peers(Path(name), store)
        for domain, provider in peers.items():
            api.set_provider_and_wait(provider, domain)
        clients = {domain: api.get_client(domain) for domain in peers}
        for client in clients.values():
            wait_for(lambda client=client: client.get_boolean_value("plain", False))  # type: ignore[misc]
        took: dict[tuple[str, str], list[float]] = {}
        for _ in range(rounds * 3):
            for flag in ("plain", "share"):
                for domain, client in clients.items():
                    took.setdefault((domain, flag), []).append(_through(client, flag))
        api.clear_providers()
    usual = {key: statistics.median(values) for key, values in took.items()}
    rows = []
    for flag, kind in (("plain", "boolean"), ("share", "percentage")):
        ratio = usual["ours", flag] / usual["in-memory", flag]
        rows.append((f"through the SDK, {kind}: at most 1.1 times its in-memory provider",
                     f"{ratio:.2f} ({usual['ours', flag]:.1f} to "
                     f"{usual['in-memory', flag]:.1f} µs)", ratio <= 1.1))
    ratio = usual["flagd", "share"] / usual["ours", "share"]
    rows.append(("percentage: at least 2.5 times as fast as flagd in process",
                 f"{ratio:.1f} times ({usual['flagd', 'share']:.1f} µs)", ratio >= 2.5))
    return rows


@contextlib.contextmanager
def _site(folder: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{folder / 'store.db'}", create=True)
    plans.register(store, PLAN, source="benchmark", now=now())
    flags.follow_plan(store, PLAN, now=now())
    yield store
    store.close()


@contextlib.contextmanager
def _console(folder: Path, store: Store) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    url = store.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.support.console", url, "shop", str(port)]
    with running(command, folder / "console.log") as process:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{address}/v1/explain").status_code == 200, seconds=60)
        yield address, psutil.Process(process.pid)


async def _load(port: int, requests: int, connections: int = 8) -> int:
    """Send requests over kept connections; return how many were answered with a value."""
    async def one(first: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        good = 0
        for number in range(first, requests, connections):
            body = json.dumps({"context": {"targetingKey": USERS[number % 1_000], **CONTEXT}})
            writer.write((f"POST /ofrep/v1/evaluate/flags/share HTTP/1.1\r\nhost: x\r\n"
                          f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                          f"{body}").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            good += b'"value"' in await reader.readexactly(length) and b" 200 " in head
        writer.close()
        return good

    return sum(await asyncio.gather(*(one(first) for first in range(connections))))


def ofrep(rounds: int, requests: int = 10_000) -> list[Row]:
    """Measure the server's CPU for a single evaluation over HTTP."""
    with tempfile.TemporaryDirectory() as name, _site(Path(name)) as store, \
            _console(Path(name), store) as (address, process):
        port = int(address.rsplit(":", 1)[1])
        asyncio.run(_load(port, 1_000))
        costs = []
        for _ in range(rounds):
            before = sum(process.cpu_times()[:2])
            answered = asyncio.run(_load(port, requests))
            if answered != requests:
                raise SystemExit(f"only {answered} of {requests} were answered")
            costs.append((sum(process.cpu_times()[:2]) - before) / requests)
    usual = statistics.median(costs)
    return [("OFREP: at least 2,500 single evaluations a second on one core",
             f"{1 / usual:,.0f} a second ({usual * 1e6:.0f} µs of the server's CPU; "
             f"{1 / max(costs):,.0f} to {1 / min(costs):,.0f})", usual <= 1 / 2_500)]


def _with(value: bool, flag: FlagState) -> Any:
    """Return a flag's document with another value."""
    return as_document(with_value(flag.name, flag.entry, value))


def _latency(store: Store, seen: Callable[[str], bool], changes: int) -> list[float]:
    """Return the seconds from each change's commit until `seen` says so."""
    took = []
    for number in range(changes):
        value = bool(number % 2)
        flags.change(store, "shop", FlagEdit("plain", partial(_with, value)), Author("b", "b"),
                     now=now())
        began = time.monotonic()
        while not seen(str(value)):
            time.sleep(0.002)
        took.append(time.monotonic() - began)
    return took


def _listen(address: str, heard: dict[str, str], stop: threading.Event) -> None:
    """Follow the event stream as an OFREP client: fetch again at every event."""
    with contextlib.suppress(httpx.HTTPError), httpx.Client(timeout=30) as client, \
            client.stream("GET", f"{address}/ofrep/v1/events") as stream:
        for line in stream.iter_lines():
            if stop.is_set():
                return
            if line.startswith("data: "):
                etag = json.loads(line[6:])["etag"]
                answer: dict[str, Any] = client.post(
                    f"{address}/ofrep/v1/evaluate/flags?flagConfigEtag={etag}",
                    json={"context": {"targetingKey": "u"}}).json()
                heard["plain"] = str(next(
                    one["value"] for one in answer["flags"] if one["key"] == "plain"))


def change(rounds: int) -> list[Row]:
    """Measure how soon a change in the store is at the clients."""
    rows = []
    with tempfile.TemporaryDirectory() as name, _site(Path(name)) as store, \
            _console(Path(name), store) as (address, _):
        api.set_provider_and_wait(ChangeoverProvider.from_console(address), "change")
        client = api.get_client("change")
        heard: dict[str, str] = {}
        stop = threading.Event()
        threading.Thread(target=_listen, args=(address, heard, stop), daemon=True).start()
        time.sleep(1)
        for who, seen in (
            ("the provider", lambda value: str(client.get_boolean_value("plain", True)) == value),
            ("an OFREP client by its event", lambda value: heard.get("plain") == value),
        ):
            took = _latency(store, seen, rounds * 4)
            rows.append((f"a change reaches {who} within 1 s",
                         f"median {statistics.median(took):.2f} s, worst {max(took):.2f} s of "
                         f"{len(took)}", max(took) < 1))
        stop.set()
        api.clear_providers()
    return rows


def main() -> int:
    """Measure, print rows, and say whether all claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {"own": own, "sdk": sdk, "ofrep": ofrep, "change": change}
    parser.add_argument("--part", choices=list(parts))
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    rows = [row for name, part in parts.items() if chosen.part in (None, name)
            for row in part(chosen.rounds)]
    for claim, measured, holds in rows:
        print(f"{'ok  ' if holds else 'MISS'} {claim}: {measured}")
    return 0 if all(holds for *_, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

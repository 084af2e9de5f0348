"""Open-loop load: requests leave at their time, whether or not the ones before were answered.

Latency counts from the moment at which a request should have left, so that a system that stalls
cannot hide it by slowing down its clients (coordinated omission, G. Tene 2013).
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from changeover.analysis.histogram import Histogram
from changeover.analysis.trend import Trend, leak_verdict, trend
from changeover.checks.suites.result import CheckResult, Report, judged, unknown
from changeover.checks.suites.target import CheckTarget
from changeover.checks.suites.way import Failed, Way
from changeover.observer.probes import ProcessMeter
from changeover.plan.load_requests import Asked
from changeover.plan.suites import LoadCheck, SoakCheck
from changeover.plan.units import format_size

MOST_UNDER_WAY = 2_000
LONGEST_ANSWER = 15.0
KEEPS_UP = 0.95
TOO_MANY = 429
"""A system that refuses requests does not sustain the load."""
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Served:
    """What a system did with one rate: requests a second as offered and as answered well.

    `failures` counts those that failed by what came of them; `sent_again` are requests that the
    system had not processed (HTTP/2) and that count by what came of them in the end.
    """

    rate: float
    answered: float
    failed: int
    sent: int
    latency: Histogram
    failures: Mapping[str, int] = field(default_factory=dict)
    sent_again: int = 0

    @property
    def why(self) -> str:
        """What failed, most often first, in few words."""
        often = Counter(self.failures).most_common(3)
        return ", ".join(f"{number} × {why}" for why, number in often)

    @property
    def error_rate(self) -> float:
        """Share of requests that failed, 0..1."""
        return self.failed / self.sent if self.sent else 0.0

    def as_data(self) -> dict[str, Any]:
        """Return the figures for the evidence; latencies in milliseconds."""
        data: dict[str, Any] = {
            "rate": self.rate, "answered_per_second": round(self.answered, 2),
            "sent": self.sent, "failed": self.failed,
        }
        if self.failures:
            data["failures"] = dict(self.failures)
        if self.sent_again:
            data["sent_again"] = self.sent_again
        for quantile in (0.5, 0.95, 0.99):
            seconds = self.latency.quantile_seconds(quantile)
            name = f"p{int(quantile * 100)}_ms"
            data[name] = None if seconds is None else round(seconds * 1000, 2)
        return data


def is_failure(status: int) -> bool:
    """Whether an answer says that a system does not sustain the load."""
    return status >= 500 or status == TOO_MANY


async def offer(way: Way, requests: Sequence[Asked], *, rate: float, seconds: float,
                tick: Callable[[float], None] | None = None) -> Served:
    """Offer `rate` requests a second for `seconds` and return what came of them."""
    durations: list[int] = []
    failures: Counter[str] = Counter()
    under_way: set[asyncio.Task[None]] = set()
    count = max(1, round(rate * seconds))
    async with way.session(LONGEST_ANSWER) as session:
        began = time.perf_counter()

        async def one(asked: Asked, due: float) -> None:
            try:
                status = await session.ask(asked)
                if is_failure(status):
                    failures[f"status {status}"] += 1
            except Failed as error:
                failures[error.why] += 1
            durations.append(int((time.perf_counter() - due) * 1e6))

        for number, asked in zip(range(count), itertools.cycle(requests), strict=False):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
                if tick:
                    tick(number / count)
            # It has stalled, which is a failure, too; more tasks would only slow this machine.
            if len(under_way) >= MOST_UNDER_WAY:
                failures[f"not sent: {MOST_UNDER_WAY} were under way"] += 1
                durations.append(int(LONGEST_ANSWER * 1e6))
                continue
            task = asyncio.create_task(one(asked, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)
        # Answers that came late count against the rate that was kept up.
        lasted = max(time.perf_counter() - began, seconds)
    failed = failures.total()
    return Served(rate, (count - failed) / lasted, failed, count, Histogram.of(durations),
                  dict(failures), session.sent_again)


def check_load(spec: LoadCheck, target: CheckTarget, report: Report) -> CheckResult:
    """Load both systems at the same growing rates, until the candidate is beyond its knee."""
    sides = ["baseline", "candidate"] if spec.baseline else ["candidate"]
    found: dict[str, list[Served]] = {side: [] for side in sides}
    problems: list[str] = []
    steps = len(spec.rates) * len(sides)
    knee: float | None = None
    for index, rate in enumerate(spec.rates):
        for place, side in enumerate(sides):
            before = index * len(sides) + place

            def tick(done: float, before: int = before) -> None:
                report((before + done) / steps)

            offered = offer(
                target.way(side), spec.asked, rate=rate, seconds=spec.each.total_seconds(),
                tick=tick)
            found[side].append(asyncio.run(offered))
        own = found["candidate"][-1]
        other = found["baseline"][-1] if spec.baseline else None
        problems += _beyond(spec, own, other)
        # Beyond the knee a higher rate only makes the queue longer, and may hurt the system.
        if own.answered < KEEPS_UP * rate:
            knee = rate
            break
    best = max(found["candidate"], key=lambda served: served.answered)
    summary = f"keeps up to {best.rate:g} requests a second"
    if knee is not None:
        summary = f"the knee lies before {knee:g}: {best.answered:.4g} a second are answered"
    figures = {}
    for side, rows in found.items():
        figures[side] = [served.as_data() for served in rows]
    return judged(problems, f"candidate: {summary}", knee=knee, **figures)


def _beyond(spec: LoadCheck, own: Served, baseline: Served | None) -> list[str]:
    """Return what is worse than the plan allows at one rate."""
    at = f"at {own.rate:g} requests a second"
    problems = []
    if own.error_rate > spec.error_rate:
        problems.append(
            f"{own.error_rate:.2%} fail {at}, more than {spec.error_rate:.2%} ({own.why})")
    p99 = own.latency.quantile_seconds(0.99) or 0.0
    longest = spec.latency_p99.total_seconds() if spec.latency_p99 else math.inf
    if p99 > longest:
        problems.append(
            f"p99 is {p99 * 1000:.0f} ms {at}, longer than {longest * 1000:.0f} ms")
    other = baseline.latency.quantile_seconds(0.99) if baseline else None
    ratio = spec.ratio_to_baseline
    if ratio and other and p99 > ratio * other:
        problems.append(
            f"p99 is {p99 / other:.2f} times the baseline's {at}, more than {ratio:g}")
    return problems


def check_soak(spec: SoakCheck, target: CheckTarget, report: Report) -> CheckResult:
    """Send a steady load and judge the slope of the system's memory."""
    meter = ProcessMeter(target.plan.system(spec.of), lambda: target.pids.get(spec.of))
    if meter.read() is None:
        return unknown(f"systems.{spec.of} has no process to watch: start it with `changeover up` "
                       "or give its pid_file")
    times, sizes, served = asyncio.run(_soaked(spec, target, report, meter))
    # Also after the load: a process that crashed has stopped growing.
    if meter.read() is None:
        return judged([f"the process of {spec.of} ended during the soak"], "")
    found = trend(times, sizes)
    verdict = leak_verdict(found, allowed_per_second=spec.growth / HOUR)
    growth = None
    if found is not None:
        growth = [found.low * HOUR, found.slope * HOUR, found.high * HOUR]
    evidence = {
        "readings": len(sizes), "load": served.as_data(),
        "first_bytes": sizes[0] if sizes else None,
        "last_bytes": sizes[-1] if sizes else None,
        "bytes_an_hour": growth,
    }
    return CheckResult(verdict, _describe_trend(spec, found), evidence)


async def _soaked(
    spec: SoakCheck, target: CheckTarget, report: Report, meter: ProcessMeter
) -> tuple[list[float], list[float], Served]:
    times: list[float] = []
    sizes: list[float] = []
    seconds = spec.duration.total_seconds()

    async def read() -> None:
        began = time.perf_counter()
        while True:
            if found := meter.read():
                sizes.append(float(found[0]))
                times.append(time.perf_counter() - began)
            # A soak may last for days; two thousand readings show any slope.
            await asyncio.sleep(max(0.2, seconds / 2000))

    reading = asyncio.create_task(read())
    try:
        way = target.way(spec.of)
        served = await offer(way, spec.asked, rate=spec.rate, seconds=seconds, tick=report)
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    return times, sizes, served


def _describe_trend(spec: SoakCheck, found: Trend | None) -> str:
    if found is None:
        return "too few readings of the memory: let the soak last longer"
    low, high = _signed(found.low * HOUR), _signed(found.high * HOUR)
    middle, allowed = _signed(found.slope * HOUR), format_size(spec.growth)
    return (f"memory of {spec.of} changes by {middle} an hour ({low} to {high}, 95 %), "
            f"allowed are {allowed}")


def _signed(size: float) -> str:
    return f"{'-' if size < 0 else '+'}{format_size(abs(int(size)))}"



"""Checks of what is around the systems: the machine, the gateway, the flags."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import psutil

from changeover import clock
from changeover.checks.suites.result import CheckResult, judged, unknown
from changeover.checks.suites.target import CheckTarget
from changeover.domain.routing import RoutingState
from changeover.errors import Unreachable
from changeover.flags.evaluate import Evaluator
from changeover.gateway.publish import Gateway
from changeover.plan.suites import FlagsCheck, GatewayCheck, ResourceCheck
from changeover.plan.units import format_size, parse_address
from changeover.store import flags, routing

_CONNECT_SECONDS = 2.0
_SETTLES_SECONDS = 10.0


def check_resource(spec: ResourceCheck, target: CheckTarget) -> CheckResult:
    """Compare memory, disks, CPU and ports of this machine with what is needed."""
    problems = []
    available = psutil.virtual_memory().available
    if spec.memory is not None and available < spec.memory:
        problems.append(f"{format_size(available)} of memory are available, "
                        f"less than {format_size(spec.memory)}")
    for path, least in spec.disk.items():
        place = target.folder / path
        if not place.exists():
            problems.append(f"{path} is not there")
        elif (free := psutil.disk_usage(str(place)).free) < least:
            problems.append(f"{path} has {format_size(free)} free, less than {format_size(least)}")
    cpu = None
    if spec.cpu is not None:
        # Over a second: a moment's use is always all or nothing.
        cpu = psutil.cpu_percent(interval=1.0) / 100
        if cpu > spec.cpu:
            problems.append(f"{cpu:.0%} of the CPU are in use, more than {spec.cpu:.0%}")
    problems += _ports(spec)
    fine = f"{format_size(available)} of memory available, the rest as needed"
    return judged(problems, fine, memory_available=available, cpu=cpu)


def _ports(spec: ResourceCheck) -> Iterator[str]:
    """Yield which addresses nobody listens at although they should, and which are taken."""
    for address in spec.listening:
        if not _answers(address):
            yield f"nobody listens at {address}"
    for address in spec.free_ports:
        if _answers(address):
            yield f"{address} is in use"


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(parse_address(address), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def check_gateway(_spec: GatewayCheck, target: CheckTarget) -> CheckResult:
    """Check that Envoy serves the routing state and that an anonymous request comes through.

    What is wrong is checked again for some seconds: a state may just be on its way to Envoy.
    """
    site = target.site
    if site is None:
        return unknown("nothing was started with `changeover up`: there is no gateway to check")

    def evaluate() -> tuple[RoutingState, list[str]]:
        state = routing.read(site.store, site.migration)
        return state, _wrong_at(target, site.gateway, state)

    state, problems = clock.poll_until(
        evaluate, lambda seen: not seen[1], seconds=_SETTLES_SECONDS, pause=0.2)
    return judged(problems, f"the gateway serves {state.describe()}", served=list(state.order))


def _wrong_at(target: CheckTarget, gateway: Gateway, state: RoutingState) -> list[str]:
    problems = []
    seen = gateway.serving(state)
    if not seen.is_current:
        problems.append(f"gateway: {seen.text}")
    # Its silence is among the problems already.
    with contextlib.suppress(Unreachable):
        for name, count in gateway.admin.healthy_hosts().items():
            if not count:
                problems.append(f"{name} has no healthy host")
    try:
        health = target.plan.systems.baseline.health
        status = target.get("gateway", health, timeout=5).status_code
        # Maintenance is answered with 503 on purpose.
        if status >= 500 and not state.maintenance:
            problems.append(f"a request through the gateway is answered with {status}")
    except httpx.HTTPError as error:
        problems.append(f"the gateway does not answer ({type(error).__name__})")
    return problems


def check_flags(spec: FlagsCheck, target: CheckTarget) -> CheckResult:
    """Compare the flags' values with those that are expected."""
    site = target.site
    if site is None:
        return unknown("nothing was started with `changeover up`: there are no flags to check")
    values = flags.values(site.store, site.migration, site.environment)
    problems = list(_unlike(spec.expect, values, ""))
    evaluator = Evaluator(flags.snapshot(site.store, site.migration, site.environment))
    found = []
    for user in spec.users:
        got = {}
        for name in user.expect:
            if name in evaluator.keys:
                answer = evaluator.evaluate(name, user.key, user.attributes)
                got[name] = answer.value
        found.append({"key": user.key, "attributes": user.attributes, "values": got})
        whom = user.key or "a user without a key"
        problems += _unlike(user.expect, got, f" for {whom}")
    number = len(spec.expect) + sum(len(user.expect) for user in spec.users)
    fine = f"{number} values of flags are as expected"
    return judged(problems, fine, values=values, users=found)


def _unlike(wanted: Mapping[str, Any], found: Mapping[str, Any], whom: str) -> Iterator[str]:
    """Yield a sentence for each value that is not the wanted one, of the same type."""
    for name, value in wanted.items():
        got = found.get(name, "not there")
        # Python calls `1` and `True` equal; an application that gets one does not.
        if got != value or type(got) is not type(value):
            yield f"flag {name} is {got!r}{whom}, not {value!r}"

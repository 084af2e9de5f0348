"""The module that counts bodies in the gateway, run as Envoy runs it, and who is counted."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from changeover.gateway.accesslog import classify, refusal
from changeover.gateway.envoy import body_limit
from changeover.gateway.envoy.config import render_bootstrap
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from tests.core.gateway.test_refusals import entry

PASSES = 0
ENGINE = wasmtime.Engine()


@cache
def _compiled(limit: int) -> wasmtime.Module:
    return wasmtime.Module(ENGINE, body_limit.module(limit))


class Filter:
    """One instance of the module; `answers` are (status, details, body) that it gave."""

    def __init__(self, limit: int) -> None:
        self._store = wasmtime.Store(ENGINE)
        self.answers: list[tuple[int, bytes, bytes]] = []
        i32 = wasmtime.ValType.i32()
        answer = wasmtime.Func(self._store, wasmtime.FuncType([i32] * 8, [i32]), self._answer)
        self._exports = wasmtime.Instance(self._store, _compiled(limit), [answer]).exports(
            self._store)

    def _answer(self, status: int, *places: int) -> int:
        details_at, details, body_at, body, *_ = places
        self.answers.append((status, self._text(details_at, details), self._text(body_at, body)))
        return 0

    def _text(self, at: int, size: int) -> bytes:
        return bytes(self._memory().read(self._store, at, at + size))

    def _memory(self) -> wasmtime.Memory:
        found = self._exports["memory"]
        assert isinstance(found, wasmtime.Memory)
        return found

    @property
    def pages(self) -> int:
        """Memory in use, in pages of 64 KiB."""
        return self._memory().size(self._store)

    def call(self, name: str, *arguments: int) -> Any:
        """Call one of the module's functions."""
        found = self._exports[name]
        assert isinstance(found, wasmtime.Func)
        return found(self._store, *arguments)

    def got(self, request: int, size: int) -> bool:
        """Whether a piece of a request's body may pass."""
        return bool(self.call("proxy_on_request_body", request, size, 0) == PASSES)


def test_the_compiled_module_is_that_of_its_source() -> None:
    """Whoever changes the text compiles it: `wasmtime.wat2wasm(text)`."""
    files = resources.files("changeover.gateway.envoy")
    source = Path(str(files)) / "body_limit.wat"
    compiled = files.joinpath("body_limit.wasm").read_bytes()
    assert bytes(wasmtime.wat2wasm(source.read_text())) == compiled
    assert compiled.count(b"\xff" * 7 + b"\x7f") == 1


@pytest.mark.parametrize("limit", [1, 1000, (1 << 32) + 5, (1 << 63) - 1])
def test_a_body_as_large_as_the_limit_passes(limit: int) -> None:
    """One byte more is answered 413, with the word by which the log tells it."""
    found = Filter(limit)
    most = (1 << 32) - 1
    left = min(limit, 5 * most)
    while left:
        assert found.got(7, min(left, most))
        left -= min(left, most)
    if limit > 5 * most:
        return
    assert not found.got(7, 1)
    assert found.answers == [(413, body_limit.DETAILS.encode(), b"too large\n")]


STEPS = st.lists(st.tuples(st.sampled_from([1, 2, 8_193, 16_385, 4_000_000_000]),
                           st.integers(0, 400) | st.just(None)), max_size=80)


@given(STEPS)
def test_requests_are_counted_each_by_itself(steps: list[tuple[int, int | None]]) -> None:
    """Also those whose numbers fall into the same list, and a number that comes again."""
    found, sums = Filter(1000), defaultdict[int, int](int)
    for request, size in steps:
        if size is None:
            found.call("proxy_on_delete", request)
            sums.pop(request, None)
        else:
            sums[request] += size
            assert found.got(request, size) == (sums[request] <= 1000)


def test_memory_is_that_of_the_most_requests_at_one_time() -> None:
    """Twenty thousand requests, two thousand at a time, need no more than the first of them."""
    found = Filter(10)
    sizes = set()
    for first in range(0, 20_000, 2_000):
        for request in range(first, first + 2_000):
            assert found.got(request, 10)
        sizes.add(found.pages)
        for request in range(first, first + 2_000):
            found.call("proxy_on_delete", request)
    assert len(sizes) == 1
    for request in range(8_000):
        assert found.got(request, 10)
    assert found.pages > max(sizes)


def _plan(protocol: str, limits: dict[str, Any] | None) -> Plan:
    return Plan.model_validate({
        "migration": "shop", "routing": {} if limits is None else {"limits": limits},
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "new", "url": "http://127.0.0.1:2",
                                  "protocol": protocol}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})


def _filters(plan: Plan) -> list[dict[str, Any]]:
    files = GatewayFiles(Path("/gateway"))
    listener = render_bootstrap(plan, files)["static_resources"]["listeners"][0]
    (chain,) = listener["filter_chains"]
    found: list[dict[str, Any]] = chain["filters"][0]["typed_config"]["http_filters"]
    return found


@pytest.mark.parametrize("limits", [None, {"headers": "64kB"}])
def test_plans_without_a_limit_run_no_module(limits: dict[str, Any] | None) -> None:
    """They cost nothing."""
    assert "wasm" not in json.dumps(_filters(_plan("http1", limits)))


@pytest.mark.parametrize(("protocol", "kinds"), [("http1", 2), ("http2", 3)])
def test_what_has_no_end_is_not_counted(protocol: str, kinds: int) -> None:
    """What announces its length; websockets; and calls of gRPC where a system speaks it, so that
    nobody else claims to be one.
    """
    first, *_ = _filters(_plan(protocol, {"body": "1MB"}))
    left_alone = first["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
    assert len(left_alone) == kinds
    assert ("application/grpc" in json.dumps(left_alone)) == (protocol == "http2")


def test_a_length_that_no_route_can_read_is_counted_like_none() -> None:
    """Envoy's routes compare numbers of 64 bits; one beyond them would be neither."""
    first, *_ = _filters(_plan("http1", {"body": "1MB"}))
    announced, *_ = first["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
    (length,) = re.findall(r'"regex": "([^"]*)"', json.dumps(announced))
    assert re.fullmatch(length, str(10**18 - 1))
    assert not re.fullmatch(length, str(10**18))


def test_a_request_that_was_too_large_is_no_systems_request() -> None:
    """A part of it was sent to a system, which did nothing wrong."""
    found = entry(s=413, f="-", r="candidate:0:unsafe", u="candidate", c="candidate",
                  h="127.0.0.1:1", n=1, d="body_too_large")
    assert refusal(found) == "body_too_large"
    assert classify(found) is None

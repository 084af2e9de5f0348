"""The gateway's filter that ends requests whose bodies turn out to be too large. Pure.

A body that announces its length is refused by a route (`limits`), before a system sees anything of
it. One in chunks announces nothing: its bytes are counted as they pass, by a module of WebAssembly
that Envoy runs, in plans with `limits.body` only. Nothing is kept back, so what a system reads
piece by piece it still gets piece by piece; what was too large, it got a part of.
"""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from typing import Any

from changeover.gateway.envoy import grpc, limits
from changeover.gateway.envoy.matching import single
from changeover.plan.model import Plan

Json = dict[str, Any]

DETAILS = "body_too_large"
"""Envoy's word in the log for a request that this filter ended."""
_TYPE = "type.googleapis.com/"
_HTTP = _TYPE + "envoy.extensions.filters.http."
_FILTER = _HTTP + "wasm.v3.Wasm"
_MATCHER = _TYPE + "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_SKIP = _TYPE + "envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
_UNSET = b"\xff\xff\xff\xff\xff\xff\xff\x7f"
"""Stands in the compiled module where a plan's limit belongs."""


@cache
def module(limit: int) -> bytes:
    """Return the compiled filter for a limit of so many bytes, below 2^63.

    Source: `body_limit.wat`; the interface is Proxy-Wasm's ABI 0.2.1.
    """
    compiled = resources.files(__package__).joinpath("body_limit.wasm").read_bytes()
    return compiled.replace(_UNSET, limit.to_bytes(8, "little"))


def filters(plan: Plan) -> list[Json]:
    """Return the filter that counts bodies; none where the plan limits none."""
    spec = plan.routing.limits
    if spec is None or spec.body is None:
        return []
    code = base64.b64encode(module(spec.body)).decode()
    counting = {"name": "envoy.filters.http.wasm", "typed_config": {"@type": _FILTER, "config": {
        "name": "body_limit", "root_id": "body_limit",
        # a module that breaks is started anew; without it requests would be answered 503
        "failure_policy": "FAIL_RELOAD",
        "vm_config": {"vm_id": "body_limit", "runtime": "envoy.wasm.runtime.v8",
                      "code": {"local": {"inline_bytes": code}}},
    }}}
    return [{"name": "changeover.body_limit", "typed_config": {
        "@type": _MATCHER, "extension_config": counting, "xds_matcher": _left_alone(plan)}}]


def _left_alone(plan: Plan) -> Json:
    """Return which requests are not counted.

    A length that was announced is tested by the routes, and Envoy sees to it that it is true. What
    flows in a websocket, or in a call of gRPC, is no body that comes to an end.
    """
    # what the routes can compare as a number; longer ones are counted like those without
    announced = single("content-length", {"safe_regex": {
        "google_re2": {}, "regex": f"[0-9]{{1,{limits.MOST_DIGITS}}}"}})
    websocket = {"and_matcher": {"predicate": [
        single(":method", {"exact": "GET"}),
        single("upgrade", {"exact": "websocket", "ignore_case": True})]}}
    predicates = [announced, websocket]
    if grpc.is_possible(plan):
        called = {"google_re2": {}, "regex": grpc.CONTENT_TYPE}
        predicates.append({"and_matcher": {"predicate": [
            single(":method", {"exact": "POST"}),
            single("content-type", {"safe_regex": called})]}})
    skip = {"action": {"name": "skip", "typed_config": {"@type": _SKIP}}}
    return {"matcher_list": {"matchers": [
        {"predicate": each, "on_match": skip} for each in predicates]}}

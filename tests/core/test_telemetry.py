"""Traces: whether they are sent, which is the environment's word, and whose trace work is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.telemetry.settings import Settings
from changeover.telemetry.traces import trace_of

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(("environ", "traces", "logs"), [
    ({}, (), ()),
    ({"OTEL_SERVICE_NAME": "shop"}, (), ()),
    (ENDPOINT, ("otlp",), ("otlp",)),
    ({**ENDPOINT, "OTEL_LOGS_EXPORTER": "none"}, ("otlp",), ()),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a/v1/traces"}, ("otlp",), ()),
    ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ("otlp", "console"), ()),
    ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, (), ()),
    ({"OTEL_TRACES_EXPORTER": "none"}, (), ()),
])
def test_nothing_is_sent_unless_an_exporter_is_named(
    environ: dict[str, str], traces: tuple[str, ...], logs: tuple[str, ...]
) -> None:
    """A machine that runs a collector for others must not get our traces by surprise."""
    found = Settings.of(environ)
    assert (found.traces, found.logs, found.problem) == (traces, logs, "")


@pytest.mark.parametrize(("environ", "said"), [
    ({"OTEL_TRACES_EXPORTER": "zipkin"}, "'zipkin' is not known"),
    ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "allowed: http/protobuf"),
    ({**ENDPOINT, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, "allowed: http/protobuf"),
])
def test_what_cannot_be_done_is_said(environ: dict[str, str], said: str) -> None:
    """What is not sent must not look like nothing that happened."""
    found = Settings.of(environ)
    assert said in found.problem
    assert found.is_wanted and not found.traces


@given(st.text(), st.integers(), st.integers())
def test_every_process_knows_a_trace_by_what_it_is_of(identity: str, one: int, other: int) -> None:
    """The same work has the same trace; other work, or another migration's, has not."""
    first = trace_of(identity, "rollback", one)
    assert first == trace_of(identity, "rollback", one)
    assert first.trace_id != trace_of(f"{identity}.", "rollback", one).trace_id
    assert (one == other) == (first == trace_of(identity, "rollback", other))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", first.traceparent)

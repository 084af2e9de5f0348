"""Sending traces and logs: a bounded queue, a thread that sends, and a short goodbye.

Imported only where an exporter is set: it needs the packages of `changeover[otel]`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from changeover import __version__
from changeover.telemetry.settings import OTLP, Settings
from changeover.telemetry.traces import Trace

Attributes = Mapping[str, str | int | float | bool]
GOODBYE_SECONDS = 2.0
"""A process waits so long at its end for what it has not sent yet; a dead collector costs that."""
_next: ContextVar[Trace | None] = ContextVar("next", default=None)


class _Ids(RandomIdGenerator):
    """Random ids, but for roots, whose ids every process knows."""

    def generate_trace_id(self) -> int:
        """Return the id of the trace that begins."""
        own = _next.get()
        return own.trace_id if own else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id of the span that begins."""
        own = _next.get()
        return own.span_id if own else super().generate_span_id()


class Exporting:
    """The traces and logs of this process.

    Prefect's own spans are not among them: the provider is ours alone, not the process's.

    Args:
        settings: What is sent, and how.
        process: What this process is; empty: `changeover`.
    """

    def __init__(self, settings: Settings, process: str) -> None:
        resource = _resource(process)
        # not at the interpreter's own exit, which waits for as long as a collector is silent
        self._provider = TracerProvider(
            resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        for name in settings.traces:
            self._provider.add_span_processor(BatchSpanProcessor(_span_exporter(name)))
        self._tracer = self._provider.get_tracer("changeover", __version__)
        self._ends = [self._provider.shutdown]
        if settings.logs:
            from changeover.telemetry.logs import send_logs

            self._ends.append(send_logs(settings.logs, resource))
        atexit.register(self.end)

    def end(self) -> None:
        """Send what is left, for at most `GOODBYE_SECONDS`."""
        threads = [threading.Thread(target=end, daemon=True) for end in self._ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GOODBYE_SECONDS / len(threads))

    @contextlib.contextmanager
    def span(
        self, name: str, of: Trace | None, *, is_root: bool, begun: datetime | None,
        attributes: Attributes,
    ) -> Iterator[object]:
        """Time a part of the work; see `changeover.telemetry.span`."""
        context = self._context(of, is_root=is_root)
        start = None if begun is None else int(begun.timestamp() * 1e9)
        token = _next.set(of if is_root else None)
        try:
            found = self._tracer.start_span(
                name, context, attributes=attributes, links=_links(of, is_root=is_root),
                start_time=start)
        finally:
            _next.reset(token)
        with trace.use_span(found, end_on_exit=True):
            yield found

    @contextlib.contextmanager
    def serving(
        self, name: str, carrier: Mapping[str, str], attributes: Attributes
    ) -> Iterator[trace.Span]:
        """Time the answer to a request, which may be a part of the caller's trace.

        Args:
            name: The request's method and route.
            carrier: The request's headers by small names.
            attributes: What else is known.
        """
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract(carrier, Context())
        with self._tracer.start_as_current_span(
            name, context, kind=SpanKind.SERVER, attributes=attributes
        ) as found:
            yield found

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the present span."""
        trace.get_current_span().set_attributes(attributes)

    def _context(self, of: Trace | None, *, is_root: bool) -> Context:
        """Return in what a span stands: the one around it, or the root of its trace."""
        around = trace.get_current_span().get_span_context()
        if of is None or (around.trace_id == of.trace_id and not is_root):
            return get_current()
        if is_root:
            return Context()
        # its root may be another process's: known by its id, whether it was sent or not
        flags = TraceFlags(TraceFlags.SAMPLED if self._is_sampled(of) else TraceFlags.DEFAULT)
        root = SpanContext(of.trace_id, of.span_id, is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(NonRecordingSpan(root), Context())

    def _is_sampled(self, of: Trace) -> bool:
        """Whether the root is sampled, by the sampler that OTEL_TRACES_SAMPLER names."""
        decided = self._provider.sampler.should_sample(Context(), of.trace_id, "root")
        return decided.decision is Decision.RECORD_AND_SAMPLE


def _resource(process: str) -> Resource:
    """Return which process this is: as OTEL_SERVICE_NAME says, else by what it does."""
    known = Resource.create({"service.version": __version__})
    named = str(known.attributes.get("service.name", ""))
    # the SDK's own word for a service that nobody has named
    if named and not named.startswith("unknown_service"):
        return known
    own = f"changeover-{process}" if process else "changeover"
    return known.merge(Resource({"service.name": own}))


def _links(of: Trace | None, *, is_root: bool) -> list[Link]:
    """Return what a root is linked with: what it is a part of, and what brought it about."""
    if not is_root or of is None:
        return []
    found = []
    if of.follows is not None:
        whole = SpanContext(of.follows.trace_id, of.follows.span_id, is_remote=True)
        found.append(Link(whole))
    around = trace.get_current_span().get_span_context()
    if around.is_valid and around.trace_id != of.trace_id:
        found.append(Link(around))
    return found


def _span_exporter(name: str) -> Any:
    if name != OTLP:
        return ConsoleSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    # each request that is sent is logged otherwise
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    return OTLPSpanExporter()

"""A real OTLP receiver over HTTP: it parses what it gets, and can be slow, or refuse."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(ThreadingHTTPServer):
    """Keeps spans with their service's name, and log lines.

    While `hangs` is not set it answers at once.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[str, Span]] = []
        self.logs: list[LogRecord] = []
        self.is_slow, self.over = False, threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process sends to it, soon after each span."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
                "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BLRP_SCHEDULE_DELAY": "200"}

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name."""
        return [span for _, span in list(self.spans) if span.name == name]

    def services(self, trace_id: bytes) -> set[str]:
        """Return which services sent spans of a trace."""
        return {service for service, span in list(self.spans) if span.trace_id == trace_id}

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/logs":
            for of_service in ExportLogsServiceRequest.FromString(body).resource_logs:
                for scope in of_service.scope_logs:
                    self.logs += scope.log_records
            return
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {pair.key: pair.value.string_value for pair in each.resource.attributes}
            for scope in each.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.is_slow:
            self.server.over.wait(60)
        self.server.take(self.path, body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def attributes(span: Span) -> dict[str, str]:
    """Return a span's attributes as text."""
    return {pair.key: str(getattr(pair.value, pair.value.WhichOneof("value")))
            for pair in span.attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """Run one on a free port."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""Log lines with the trace that they belong to: sent, and written beside the text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
from opentelemetry.sdk.resources import Resource

from changeover.telemetry.settings import OTLP

_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL), (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN), (logging.INFO, SeverityNumber.INFO),
)


class _Sender(logging.Handler):
    """Hands log lines to a provider, with the trace in which they were written."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__(logging.INFO)
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line; only its text and where it was written, no objects."""
        severity = SeverityNumber.INFO
        for level, number in reversed(_SEVERITIES):
            if record.levelno >= level:
                severity = number
        try:
            self._provider.get_logger(record.name).emit(LogRecord(
                timestamp=int(record.created * 1e9), context=get_current(),
                severity_text=record.levelname, severity_number=severity,
                body=record.getMessage(), attributes={"code.file.path": record.pathname}))
        except Exception:  # noqa: BLE001  a line that cannot be sent must not break what it tells of
            self.handleError(record)


def send_logs(exporters: Sequence[str], resource: Resource) -> Callable[[], None]:
    """Send what this process logs from INFO on; return what ends that.

    Args:
        exporters: `otlp`, `console`.
        resource: Which process this is.
    """
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for name in exporters:
        provider.add_log_record_processor(BatchLogRecordProcessor(_exporter(name)))
    handler = _Sender(provider)
    # what the sender itself complains of would be sent for ever
    handler.addFilter(lambda record: not record.name.startswith(("opentelemetry", "urllib3")))
    logging.getLogger().addHandler(handler)
    return provider.shutdown


def _exporter(name: str) -> Any:
    if name != OTLP:
        return ConsoleLogRecordExporter()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter()


class WithTrace(logging.Formatter):
    """Writes the present trace behind a log line; the line itself stays as it is for others."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line as it is written."""
        text = super().format(record)
        present = trace.get_current_span().get_span_context()
        return f"{text} trace_id={present.trace_id:032x}" if present.is_valid else text

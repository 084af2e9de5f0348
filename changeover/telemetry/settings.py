"""Whether and where traces and logs are sent, by OpenTelemetry's own variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
OTLP, CONSOLE, NONE = "otlp", "console", "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    Args:
        traces: Exporters of traces: `otlp`, `console`; none: no traces are sent.
        logs: The same for logs.
        problem: What cannot be done as it is said there.
    """

    traces: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self.traces or self.logs or self.problem)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Settings:
        """Return what variables say; by default nothing is sent.

        Other programs' default exporter is OTLP to this machine. Here nothing is sent unless a
        variable names an exporter or where it sends to.
        """
        if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return cls()
        traces, logs = _exporters(environ, "TRACES"), _exporters(environ, "LOGS")
        for name in (*traces, *logs):
            if name not in (OTLP, CONSOLE):
                return cls(problem=f"exporter {name!r} is not known, so nothing is sent; allowed "
                                   "in OTEL_TRACES_EXPORTER and OTEL_LOGS_EXPORTER: otlp, "
                                   "console, none")
        for signal in ("", "TRACES_", "LOGS_"):
            protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL", "http/protobuf")
            if protocol != "http/protobuf" and (traces or logs):
                return cls(problem=f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL is {protocol!r}, so "
                                   "nothing is sent; allowed: http/protobuf (port 4318)")
        return cls(traces, logs)


def _exporters(environ: Mapping[str, str], signal: str) -> tuple[str, ...]:
    named = environ.get(f"OTEL_{signal}_EXPORTER", "").strip()
    if not named:
        addresses = (_ENDPOINT, f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        return (OTLP,) if any(environ.get(each, "").strip() for each in addresses) else ()
    found = [each.strip() for each in named.split(",")]
    return tuple(each for each in found if each and each != NONE)

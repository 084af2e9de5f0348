"""Which HTTP a system speaks, asked before any user is: the gateway speaks what the plan says.

Neighbour: `changeover.procedures.baseline` asks whether a system is well.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from changeover.domain.routing import System
from changeover.gateway import reaching
from changeover.machine import trust
from changeover.plan.endpoint import HttpVersion, TlsSpec
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec

LONGEST_SECONDS = 2.0
# What a client of HTTP/2 says first (RFC 9113, section 3.4), and how a frame looks.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_HEADER = 9
_SETTINGS_TYPE = 4


class Speaks(StrEnum):
    """What came back."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2"
    """Seen where the plan says so: whether it knows HTTP/1.1 as well is not asked."""
    HTTP2_ONLY = "HTTP/2 only"
    OTHER = "something else"
    NOTHING = "nothing"
    """Nobody listens there, or there was no answer in time: the system may be down or slow."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one system of a plan speaks."""

    system: System
    url: str
    speaks: Speaks
    protocol: HttpVersion = "http1"

    @classmethod
    def of(cls, name: System, spec: SystemSpec, *, longest: float = LONGEST_SECONDS) -> Found:
        """Ask a system of a plan."""
        return cls(name, spec.url, speaks(spec, longest=longest), spec.protocol)

    @property
    def is_unusable(self) -> bool:
        """Whether every call through the gateway would fail."""
        only = {"http1": Speaks.HTTP2_ONLY, "http2": Speaks.HTTP1}
        return self.speaks is only[self.protocol]


def speaks(spec: SystemSpec, *, longest: float = LONGEST_SECONDS) -> Speaks:
    """Ask a system for its health page in HTTP/1.1, and whether it knows HTTP/2 if it does not.

    One whose plan says `protocol: http2` is asked in HTTP/2 first.

    Args:
        spec: The system; its certificate is not checked, only its language.
        longest: Longest wait for either answer, in seconds.
    """
    path = spec.base_path + spec.health
    request = f"GET {path} HTTP/1.1\r\nHost: {spec.authority}\r\nConnection: close\r\n\r\n"
    if spec.protocol == "http2" and _knows_http2(spec, longest):
        return Speaks.HTTP2
    # Without ALPN, as the gateway asks.
    plain = _exchange(spec, request.encode(), b"HTTP/1.", longest=longest)
    if plain is not None and plain.startswith(b"HTTP/1."):
        return Speaks.HTTP1
    if plain is None and not spec.is_tls:
        # Who refuses a connection refuses the next one.
        return Speaks.NOTHING
    framed = _exchange(spec, _PREFACE + _SETTINGS, None, protocol="h2", longest=longest)
    if _is_settings(framed or b"") and spec.protocol == "http1":
        return Speaks.HTTP2_ONLY
    return Speaks.NOTHING if not plain and not framed else Speaks.OTHER


def probe_all(plans: Iterable[Plan], *, longest: float = LONGEST_SECONDS) -> list[Found]:
    """Return what the systems of some plans speak; each address is asked once, all in parallel."""
    asked: dict[tuple[System, str, str], SystemSpec] = {}
    for plan in plans:
        for name in System:
            spec = plan.system(name)
            asked[name, spec.url, spec.protocol] = spec
    with ThreadPoolExecutor(2 * len(System)) as pool:
        return list(pool.map(
            lambda each: Found.of(each[0][0], each[1], longest=longest), asked.items()))


def note(found: Found) -> str | None:
    """Return what a person should know about it, or None when it is as it should be."""
    what, where = f"{found.system} at {found.url}", "docs/gateway.md"
    wanted = {"http1": "HTTP/1.1", "http2": "HTTP/2"}[found.protocol]
    fails = "every call through the gateway would fail"
    if found.speaks is Speaks.HTTP1 and found.is_unusable:
        return (f"{what} speaks HTTP/1.1, but not HTTP/2 as the plan says (`protocol: http2`): "
                f"{fails}; leave `protocol` out ({where})")
    return {
        Speaks.HTTP1: None,
        Speaks.HTTP2: None,
        Speaks.HTTP2_ONLY: f"{what} speaks HTTP/2 only (gRPC?), the gateway HTTP/1.1: {fails}; "
        f"say `protocol: http2` ({where})",
        Speaks.OTHER: f"{what} answers, but not in {wanted}: {fails}; "
        "is that its address, and http or https right?",
        Speaks.NOTHING: f"{what} does not answer now, so it is unknown whether it speaks {wanted}",
    }[found.speaks]


def _knows_http2(spec: SystemSpec, longest: float) -> bool:
    framed = _exchange(spec, _PREFACE + _SETTINGS, None, protocol="h2", longest=longest)
    return _is_settings(framed or b"")


def _exchange(
    spec: SystemSpec, sent: bytes, beginning: bytes | None, *, longest: float,
    protocol: str | None = None,
) -> bytes | None:
    """Return the first bytes of an answer; empty when there were none, None without a connection.

    Args:
        spec: Who is asked.
        sent: What is sent.
        beginning: How an answer begins of which no more is read; None: a frame's header.
        longest: Longest wait, in seconds.
        protocol: What is offered in a TLS handshake (ALPN); None: nothing.
    """
    wanted = len(beginning) if beginning else _FRAME_HEADER
    until = time.monotonic() + longest
    got = b""
    try:
        with _connection(spec, protocol, longest) as connection:
            connection.sendall(sent)
            while len(got) < wanted and (left := until - time.monotonic()) > 0:
                connection.settimeout(left)
                if not (part := connection.recv(1024)):
                    break
                got += part
    except (ConnectionResetError, BrokenPipeError, TimeoutError):
        # Somebody listens: a system that speaks another protocol may well hang up.
        return got
    except (OSError, UnicodeError):
        # No connection, or a host's name that cannot be one.
        return got or None
    return got


@contextlib.contextmanager
def _connection(
    spec: SystemSpec, protocol: str | None, longest: float
) -> Iterator[socket.socket]:
    with reaching.connect(spec, longest) as connection:
        if not spec.is_tls:
            yield connection
            return
        own = spec.tls or TlsSpec.model_construct()
        context = trust.context(None, own.certificate, own.key)
        # Only the language is asked for here; the gateway checks the certificate for users.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocol:
            context.set_alpn_protocols([protocol])
        with context.wrap_socket(connection, server_hostname=spec.server_name) as secured:
            yield secured


def _is_settings(answer: bytes) -> bool:
    """Whether an answer begins with a SETTINGS frame of the whole connection."""
    is_whole = len(answer) >= _FRAME_HEADER
    return is_whole and answer[3] == _SETTINGS_TYPE and answer[5:9] == b"\0\0\0\0"

"""HTTP clients that reach a system as the gateway reaches it.

Whoever asks a system directly (probes, checks, levers) asks here, so that what people see of a
system is what its users get. httpx is imported when a client is made: commands that need none start
faster.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from changeover.machine import http, trust
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec

if TYPE_CHECKING:
    import httpx


def address(system: SystemSpec) -> str:
    """Return what stands before a path in a request's address, without a slash at its end.

    It has the path that stands before each of the system's own.
    """
    return system.origin


def health_address(system: SystemSpec) -> str:
    """Return the address at which a system says whether it is well."""
    return address(system) + system.health


def authority(system: SystemSpec) -> str:
    """Return the host that a request names which has none of its own, or may not keep it."""
    return system.authority


def tls_context(system: SystemSpec) -> ssl.SSLContext:
    """Return how a system's certificate is verified, and what it is shown.

    Raises:
        OSError: A file of the plan's `tls` cannot be read.
    """
    spec = system.tls
    found = http.tls() if spec is None else trust.context(spec.ca, spec.certificate, spec.key)
    if system.protocol == "http2":
        found = trust.context() if spec is None else found
        found.set_alpn_protocols(["h2"])
    return found


def fresh_tls(system: SystemSpec) -> trust.Fresh:
    """Return the same for as long as it is needed: read again when one of its files changes."""
    return trust.Fresh(
        system.tls.files if system.tls is not None else (), lambda: tls_context(system))


def connect(system: SystemSpec, seconds: float) -> socket.socket:
    """Return a connection to the first of a system's addresses that takes one, without TLS.

    Args:
        system: The system.
        seconds: Longest wait for each address.

    Raises:
        OSError: None does.
    """
    problem: OSError = ConnectionRefusedError("no address")
    for place in system.places:
        try:
            if not place.socket:
                return socket.create_connection((place.host, place.port), seconds)
            found = socket.socket(socket.AF_UNIX)
            found.settimeout(seconds)
            found.connect(place.socket)
        except OSError as error:
            problem = error
        else:
            return found
    raise problem


def new_client(
    system: SystemSpec, *, timeout: float | httpx.Timeout, **options: Any
) -> httpx.Client:
    """Return a client for one system; the caller closes it.

    Args:
        system: The system; requests name their whole address: `address(system)` and a path.
        timeout: Longest wait for a connection and for each part of an answer, in seconds.
        options: Further settings of httpx.Client.
    """
    if system.is_plain:
        return http.new_client(timeout=timeout, **options)
    import httpx

    from changeover.gateway.transport import SystemTransport

    limits = options.pop("limits", httpx.Limits(max_connections=100, max_keepalive_connections=20))
    return http.new_client(
        timeout=timeout, transport=SystemTransport(system, limits=limits), **options)


def get(system: SystemSpec, path: str, *, timeout: float) -> httpx.Response:
    """Ask a system once; raises httpx.HTTPError when no answer comes within `timeout` seconds."""
    with new_client(system, timeout=timeout) as client:
        return client.get(address(system) + path)


def health(system: SystemSpec) -> httpx.Response:
    """Ask a system for its health; raises httpx.HTTPError when no answer comes in its time."""
    return get(system, system.health, timeout=system.health_timeout.total_seconds())


def is_well(system: SystemSpec) -> bool:
    """Whether a system's health answers 2xx in its time."""
    import httpx

    try:
        return health(system).is_success
    except httpx.HTTPError:
        return False


def post(
    system: SystemSpec, path: str, content: object, *, timeout: float,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Send a system a JSON document once; raises httpx.HTTPError when no answer comes in time."""
    with new_client(system, timeout=timeout) as client:
        return client.post(address(system) + path, json=content, headers=headers)


def gateway_address(plan: Plan) -> str:
    """Return what stands before a path in an address of the gateway."""
    return f"{'http' if plan.routing.tls is None else 'https'}://{plan.routing.listen}"


def gateway_context(plan: Plan) -> ssl.SSLContext | None:
    """Return how the gateway is believed: by its own certificate; None without TLS.

    It is asked by its address, which is in no certificate for users.

    Raises:
        OSError: The certificate cannot be read.
    """
    return None if plan.routing.tls is None else trust.only(plan.routing.tls.certificate)


def fresh_gateway_tls(plan: Plan) -> trust.Fresh | None:
    """Return the same for as long as it is needed: read again when the certificate changes."""
    if (spec := plan.routing.tls) is None:
        return None
    return trust.Fresh((spec.certificate,), lambda: trust.only(spec.certificate))


def new_gateway_client(
    plan: Plan, *, timeout: float | httpx.Timeout, **options: Any
) -> httpx.Client:
    """Return a client for the gateway; the caller closes it.

    Args:
        plan: The migration's plan.
        timeout: Longest wait for a connection and for each part of an answer, in seconds.
        options: Further settings of httpx.Client.
    """
    if (context := gateway_context(plan)) is not None:
        options.setdefault("verify", context)
    return http.new_client(timeout=timeout, **options)

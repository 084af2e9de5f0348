"""How curl reaches a system, for the rollback script. Pure."""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

from changeover.plan.endpoint import GRPC_HEALTH
from changeover.plan.systems import SystemSpec


def arguments(system: SystemSpec) -> list[str]:
    """Return curl's arguments besides the address: how the system is reached."""
    found = ["--noproxy", "*"]
    if system.protocol == "http2":
        found.append("--http2" if system.url.startswith("https") else "--http2-prior-knowledge")
    spec = system.tls
    for option, file in (("--cacert", spec and spec.ca), ("--cert", spec and spec.certificate),
                         ("--key", spec and spec.key)):
        if file:
            found += [option, file]
    url = urlsplit(system.url)
    if spec is not None and spec.server_name:
        # The name in the address is the one that curl verifies.
        port = url.port or 443
        found += ["--connect-to", f"{spec.server_name}:{port}:{url.hostname}:{port}",
                  "-H", f"host: {url.netloc}"]
    return found


def address(system: SystemSpec, path: str) -> str:
    """Return the address of a path, as curl takes it."""
    url = urlsplit(system.url)
    if system.tls is not None and system.tls.server_name:
        url = url._replace(netloc=f"{system.server_name}:{url.port or 443}")
    return url.geturl().rstrip("/") + path


def health(system: SystemSpec, timeout: str) -> str:
    """Return the shell's command that succeeds while a system's health answers 2xx.

    Args:
        system: The system.
        timeout: Longest wait, in seconds.
    """
    how = shlex.join(["-m", timeout, *arguments(system)])
    where = shlex.quote(address(system, system.health))
    if not system.health.endswith(GRPC_HEALTH):
        return f"curl -sf {how} -o /dev/null {where}"
    grpc = "-H 'content-type: application/grpc' -H 'te: trailers' --data-binary @-"
    # an empty message, and the answer SERVING in its own message
    return (f"printf '\\000\\000\\000\\000\\000' | curl -sf {how} {grpc} {where} "
            "| od -An -tx1 | grep -q '08 01'")

"""How curl reaches a system, for the rollback script. Pure."""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

from changeover.plan.endpoint import GRPC_HEALTH, Place
from changeover.plan.systems import SystemSpec


def arguments(system: SystemSpec, place: Place | None = None) -> list[str]:
    """Return curl's arguments besides the address: how the system is reached.

    Args:
        system: The system.
        place: Which of its addresses is asked; default: the first one.
    """
    found = ["--noproxy", "*"]
    if system.protocol == "http2":
        found.append("--http2" if system.url.startswith("https") else "--http2-prior-knowledge")
    spec = system.tls
    for option, file in (("--cacert", spec and spec.ca), ("--cert", spec and spec.certificate),
                         ("--key", spec and spec.key)):
        if file:
            found += [option, file]
    if system.socket_path:
        found += ["--unix-socket", system.socket_path]
    elif system.addresses is not None or _has_own_name(system):
        place = place or system.places[0]
        found += ["--connect-to", f"::{place.title}"]
    # The name in the address is the one that curl verifies.
    if _has_own_name(system) or system.own_host is not None:
        found += ["-H", f"host: {system.authority}"]
    return found


def address(system: SystemSpec, path: str) -> str:
    """Return the address of a path, as curl takes it."""
    if not _has_own_name(system):
        return system.origin + path
    port = urlsplit(system.url).port or 443
    return f"https://{system.server_name}:{port}{system.base_path}{path}"


def post(system: SystemSpec, path: str, body: str, seconds: float) -> list[str]:
    """Return the command that posts JSON once: to the first address that takes a connection.

    What may have arrived is not sent to another address: a lever is pulled once.

    Args:
        system: The system.
        path: Path below the system's url.
        body: JSON.
        seconds: Longest wait.
    """
    asked = [["curl", "-sS", "-f", *arguments(system, place), "-m", f"{seconds:.1f}",
              "-X", "POST", "-H", "content-type: application/json", "-d", body,
              address(system, path)] for place in system.places]
    if len(asked) == 1:
        return asked[0]
    share = f"{max(0.1, seconds / len(asked)):.1f}"
    tried = "; ".join(f"try {shlex.join(each[1:])}" for each in asked)
    return ["sh", "-c", _TRY.replace("SHARE", share) + tried + '; exit "$code"']


_TRY = """\
try() {
    made=$(curl --connect-timeout SHARE -o /dev/null -w '%{num_connects}' "$@"); code=$?
    [ "$code" != 0 ] && [ "$made" = 0 ] || exit "$code"
}
"""
"""Without a connection nothing was sent: then, and only then, the next address is asked."""


def health(system: SystemSpec, timeout: str) -> str:
    """Return the shell's command that succeeds while a system's health answers 2xx.

    Args:
        system: The system.
        timeout: Longest wait, in seconds.
    """
    asked = [_health(system, place, timeout) for place in system.places]
    return asked[0] if len(asked) == 1 else f"{{ {' || '.join(asked)}; }}"


def _has_own_name(system: SystemSpec) -> bool:
    return system.tls is not None and system.tls.server_name is not None


def _health(system: SystemSpec, place: Place, timeout: str) -> str:
    how = shlex.join(["-m", timeout, *arguments(system, place)])
    where = shlex.quote(address(system, system.health))
    if not system.health.endswith(GRPC_HEALTH):
        return f"curl -sf {how} -o /dev/null {where}"
    grpc = "-H 'content-type: application/grpc' -H 'te: trailers' --data-binary @-"
    # an empty message, and the answer SERVING in its own message
    return (f"printf '\\000\\000\\000\\000\\000' | curl -sf {how} {grpc} {where} "
            "| od -An -tx1 | grep -q '08 01'")

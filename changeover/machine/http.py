"""HTTP clients: verified by the system's authorities, without a proxy, always with a time limit.

httpx is imported when a client is made: commands that need none start faster.
"""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


@functools.cache
def tls() -> ssl.SSLContext:
    """Return the settings that verify servers by the system's authorities, or SSL_CERT_FILE's.

    Shared by all clients: reading the authorities takes 30 ms each time.
    """
    return ssl.create_default_context()


def new_client(
    *, timeout: float | httpx.Timeout, through_proxy: bool = False, **options: Any,
) -> httpx.Client:
    """Return an HTTP client; the caller closes it.

    Args:
        timeout: Longest wait for a connection and for each part of an answer, in seconds.
        through_proxy: Use the proxy of the environment: for addresses outside the company. The
            systems and the gateway are always asked directly.
        options: Further settings of httpx.Client; `verify` for other authorities.
    """
    import httpx

    options.setdefault("verify", tls())
    return httpx.Client(timeout=timeout, trust_env=through_proxy, **options)


def get(url: str, *, timeout: float) -> httpx.Response:
    """Ask an address once; raises httpx.HTTPError when no answer comes within `timeout` seconds."""
    with new_client(timeout=timeout) as client:
        return client.get(url)


def post(
    url: str, content: object, *, timeout: float, headers: dict[str, str] | None = None,
    through_proxy: bool = False,
) -> httpx.Response:
    """Send a JSON document once; raises httpx.HTTPError when no answer comes in time.

    Args:
        url: Where to.
        content: What JSON knows.
        timeout: Longest wait, in seconds.
        headers: Further headers.
        through_proxy: As in `new_client`.
    """
    with new_client(timeout=timeout, through_proxy=through_proxy) as client:
        return client.post(url, json=content, headers=headers)

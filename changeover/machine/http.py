"""The TLS settings of our clients, made once: reading the authorities takes 30 ms each time."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def tls() -> ssl.SSLContext:
    """Return the settings that verify servers by the system's authorities; shared by all."""
    return ssl.create_default_context()

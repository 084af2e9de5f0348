"""A single authority for clients that would read more than a hundred.

httpx and Prefect read all authorities anew for each client, and `httpx.get` makes a client for each
request: 34 ms of CPU where the request itself takes 2 ms. Tests ask again and again until something
holds, processes of a site open dozens of clients, and all their servers are on this machine: those
with TLS have an authority of their own, which the tests name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import certifi
import pytest

VARIABLES = "SSL_CERT_FILE", "PREFECT_API_SSL_CERT_FILE"
"""Where httpx and OpenSSL, and Prefect's clients look for authorities."""
_directory = pytest.StashKey[Path]()


def one_certificate(directory: Path) -> Path:
    """Return a file in `directory` with the first of the authorities that httpx trusts."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    path = directory / "trusted.pem"
    path.write_text(first + end)
    return path


def pytest_configure(config: pytest.Config) -> None:
    """Have this process, and all that it starts, read one certificate only."""
    config.stash[_directory] = Path(tempfile.mkdtemp(prefix="changeover-trusted-"))
    trusted = one_certificate(config.stash[_directory])
    os.environ.update(dict.fromkeys(VARIABLES, str(trusted)))
    # for clients that read no variables
    certifi.where = lambda: str(trusted)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the file away."""
    shutil.rmtree(config.stash[_directory], ignore_errors=True)

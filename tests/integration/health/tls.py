"""A TLS server whose certificate is valid for so many days, by an authority of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def tls_server(folder: Path, days: int) -> Iterator[tuple[str, Path]]:
    """Serve TLS on `localhost`; yields (address, file with the authority's certificate)."""
    key, certificate = folder / "server.key", folder / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out",
         str(certificate), "-days", str(days), "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()
    listener.settimeout(0.1)

    def serve() -> None:
        while not done.is_set():
            with contextlib.suppress(OSError), listener.accept()[0] as plain, \
                    context.wrap_socket(plain, server_side=True) as secured:
                secured.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", certificate
    finally:
        done.set()
        thread.join(5)
        listener.close()

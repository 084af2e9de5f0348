"""TLS towards one server, from files that may be replaced while a process runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

Stamp = tuple[tuple[int, int, int], ...]


def stamp(files: Sequence[str]) -> Stamp:
    """Return what changes when one of the files is replaced or written again.

    A file that is gone, as between two steps of a replacement, counts as one that is there.
    """
    found = []
    for name in files:
        try:
            status = Path(name).stat()
        except OSError:
            found.append((0, 0, 0))
            continue
        found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def only(certificate: str) -> ssl.SSLContext:
    """Return settings that believe nobody but the holder of one certificate, whatever its name.

    Args:
        certificate: PEM file with it.

    Raises:
        OSError: It cannot be read.
    """
    found = ssl.create_default_context(cafile=certificate)
    found.check_hostname = False
    # The certificate itself is the anchor: who signed it does not matter.
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return found


def context(
    ca: str | None = None, certificate: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """Return settings that verify a server, and show it a certificate where there is one.

    Args:
        ca: PEM file with the authorities to trust instead of the machine's.
        certificate: PEM file with the certificate that is shown.
        key: PEM file with its key.

    Raises:
        OSError: A file cannot be read, or is not what it should be (ssl.SSLError is one).
    """
    found = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        # A password would be asked for on the terminal: nobody is there to type it.
        found.load_cert_chain(certificate, key, password=lambda: b"")
    return found

def shown(certificate: str, key: str) -> ssl.SSLContext:
    """Return settings of a server of ours that shows a certificate.

    Args:
        certificate: PEM file with it, and those that lead to its authority.
        key: PEM file with its key, without a password.

    Raises:
        OSError: A file cannot be read, or is not what it should be (ssl.SSLError is one).
    """
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(certificate, key, password=lambda: b"")
    return found


class Fresh:
    """Settings that are made again when one of their files was replaced.

    Args:
        files: The files.
        make: Makes the settings; raises OSError when a file cannot be read.
    """

    def __init__(self, files: Sequence[str], make: Callable[[], ssl.SSLContext]) -> None:
        self._files, self._make = files, make
        self._made: tuple[Stamp, ssl.SSLContext] | None = None

    def newest(self) -> ssl.SSLContext:
        """Return them; raises OSError when a file cannot be read."""
        # before the files are read: what changes meanwhile is read the next time
        seen = stamp(self._files)
        if self._made is None or self._made[0] != seen:
            self._made = seen, self._make()
        return self._made[1]

"""Certificates for tests: an authority of their own, and what it signs."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Signs certificates; its own lies at `ca`.

    Args:
        folder: Where the files lie.
        name: What it calls itself, and its files.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=1))
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *hosts: str, file: str | None = None) -> tuple[Path, Path]:
        """Write a certificate and its key beside each other; return where they lie.

        Args:
            name: Its common name.
            hosts: Names and addresses of the server.
            file: What the files are called; default: as `name`. Files that are there are replaced
                by renaming, as cert-manager does.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._signed(
            subject, key, x509.BasicConstraints(ca=False, path_length=None), hosts)
        stem = file or name
        written = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        contents = (
            signed.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM,
                              serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        for path, content in zip(written, contents, strict=True):
            new = path.with_suffix(path.suffix + ".new")
            new.write_bytes(content)
            new.replace(path)
        return written

    def server(self, *hosts: str, protocols: list[str] | None = None,
               clients: Authority | None = None, name: str = "server") -> ssl.SSLContext:
        """Return what a server of these hosts needs.

        Args:
            hosts: Its names and addresses.
            protocols: What it offers by ALPN.
            clients: Whose certificates clients must show.
            name: What its files are called.
        """
        certificate, key = self.issue(name, *hosts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if protocols:
            context.set_alpn_protocols(protocols)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.ca)
        return context

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints, hosts: tuple[str, ...] = (),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=2))
            .add_extension(constraints, critical=True))
        if hosts:
            names = [_general_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

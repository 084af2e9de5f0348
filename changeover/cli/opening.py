"""How other machines break glass at a gateway node: the options of `changeover gateway`."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from changeover.cli.gateway import address_of
from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.machine import break_glass_token, trust
from changeover.node.break_glass import Opening
from changeover.plan import units
from changeover.site.node_addresses import PATH, break_glass_url

OPTIONS = ("break_glass", "advertise", "tls_certificate", "tls_key")
_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  compared only


def opening(asked: Mapping[str, Any], ready: tuple[str, int]) -> Opening | None:
    """Return what the options and the token say; None without a token.

    Args:
        asked: The options by their names.
        ready: Where load balancers ask.

    Raises:
        InvalidInput: An option needs a token, or is not what it should be.
        EnvironmentProblem: A file cannot be read.
    """
    token = break_glass_token.read()
    given = [name for name in OPTIONS if asked[name] is not None]
    if not token:
        if given:
            raise InvalidInput(
                f"break glass cannot be opened to other machines: {break_glass_token.NONE}",
                where=f"--{given[0].replace('_', '-')}",
                next_step="Set it, the same for all nodes and for who may break glass")
        return None
    text = address_of("--break-glass", asked["break_glass"])
    # on this machine only: what moves users is opened to others by those who say where
    address = units.parse_address(text) if text else ("127.0.0.1", ready[1] + 1)
    shown = _certificate(asked["tls_certificate"], asked["tls_key"])
    return Opening(address, token, _url(asked["advertise"], address, is_tls=shown is not None),
                   shown)


def _certificate(certificate: str | None, key: str | None) -> trust.Fresh | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("a certificate and its key belong together", where="--tls-certificate",
                           allowed="--tls-certificate FILE with --tls-key FILE")
    try:
        found = trust.Fresh([certificate, key], lambda: trust.shown(certificate, key))
        found.newest()
        return found
    except OSError as error:
        raise EnvironmentProblem(
            f"the certificate cannot be used: {error.strerror or error}",
            where=f"{certificate}, {key}",
            next_step="PEM files are needed that this user may read, the key without a password",
        ) from None


def _url(advertised: str | None, address: tuple[str, int], *, is_tls: bool) -> str:
    if advertised is not None:
        return break_glass_url(advertised, "--advertise")
    host, port = address
    host = socket.gethostname() if host in _EVERY_ADDRESS else host
    shown = f"[{host}]" if ":" in host else host
    return f"http{'s' if is_tls else ''}://{shown}:{port}{PATH}"

"""Where glass is broken at the gateway nodes: a copy of what they say in the store, beside Envoy.

The observer keeps it while the store answers; `changeover rollback --break-glass` reads it when the
store does not. It has addresses only, and no token.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from changeover.domain.gateway_nodes import GatewayNode
from changeover.errors import InvalidInput
from changeover.gateway.files import GatewayFiles
from changeover.machine.files import write_atomically

PATH = "/break-glass"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node to be reached.

    Args:
        name: Its name; empty when only its address is known.
        url: Where glass is broken there; empty when it cannot be from elsewhere.
        migration: Whose users it has; empty when that is not known.
    """

    name: str
    url: str
    migration: str = ""

    @property
    def label(self) -> str:
        """How it is called for people."""
        return self.name or urlsplit(self.url).netloc


def read(files: GatewayFiles) -> list[NodeAddress]:
    """Return the nodes as they were known last; none when nothing was kept, or can be read."""
    # in an emergency the rest must go on without it
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(files.nodes.read_bytes())
        return [NodeAddress(str(each["name"]), str(each["url"]), str(found["migration"]))
                for each in found["nodes"]]
    return []


class Book:
    """Keeps the copy up to date.

    Args:
        files: Where it lies.
        migration: Whose nodes.
    """

    def __init__(self, files: GatewayFiles, migration: str) -> None:
        self._files, self._migration = files, migration
        self._kept: list[NodeAddress] | None = None
        self._encrypted: set[str] = set()
        """Nodes that were reached over TLS once: whoever writes a row later does not undo it."""

    def keep(self, nodes: Iterable[GatewayNode]) -> None:
        """Write the nodes down when they are others than before.

        An address that is none is not taken, nor one without TLS of a node that had it before:
        the one that is known stays. Without the file everything begins anew.

        Raises:
            EnvironmentProblem: The file cannot be written.
        """
        if self._kept is None:
            self._kept, self._encrypted = read(self._files), _encrypted(self._files)
        known = {each.name: each.url for each in self._kept if each.migration == self._migration}
        found = [NodeAddress(each.name, self._url(each, known.get(each.name, "")), self._migration)
                 for each in nodes]
        if found == self._kept:
            return
        self._encrypted |= {each.name for each in found if each.url.startswith("https:")}
        content = [{"name": each.name, "url": each.url, "tls": each.name in self._encrypted}
                   for each in found]
        write_atomically(self._files.nodes, json.dumps(
            {"migration": self._migration, "nodes": content}, indent=1))
        self._kept = found

    def _url(self, node: GatewayNode, known: str) -> str:
        """Return where a node is asked: what its row says, unless that cannot be trusted."""
        if not node.break_glass_url:
            return ""
        try:
            url = break_glass_url(node.break_glass_url, node.name)
        except InvalidInput:
            return known
        return known if node.name in self._encrypted and url.startswith("http:") else url


def _encrypted(files: GatewayFiles) -> set[str]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(files.nodes.read_bytes())
        return {str(each["name"]) for each in found["nodes"]
                if each.get("tls") or str(each["url"]).startswith("https:")}
    return set()


def break_glass_url(text: str, where: str) -> str:
    """Return the address of a node's break glass, with its path.

    Raises:
        InvalidInput: It is no address of a node.
    """
    problem = InvalidInput(
        f"{text!r} is no address of a node", where=where,
        allowed="http:// or https://, a host, and a port, as https://edge-3.example:8102")
    try:
        parts = urlsplit(text)
        is_good = (parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
                   and not parts.username and not parts.query and not parts.fragment
                   and text.isascii() and text.isprintable() and " " not in text)
    except ValueError:
        raise problem from None
    if not is_good:
        raise problem
    path = parts.path.rstrip("/")
    # a proxy in front may have it under a path of its own
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith(PATH) else path + PATH,
                       "", ""))

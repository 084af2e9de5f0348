"""Where Envoy's files are. Creating the object touches nothing."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_USERS = "users-"
_LONGEST_SOCKET = 100
"""A Unix socket's path may have 107 bytes on Linux and 103 on macOS."""


class GatewayFiles:
    """Paths under the gateway's directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @property
    def bootstrap(self) -> Path:
        """What Envoy starts with: listener, admin socket, where routes and clusters are."""
        return self.root / "bootstrap.json"

    @property
    def routes(self) -> Path:
        """The routes that Envoy watches; only ever replaced as a whole."""
        return self.root / "routes.json"

    @property
    def safe_routes(self) -> Path:
        """Routes that send everyone to the baseline, ready for break glass."""
        return self.root / "routes.safe.json"

    @property
    def clusters(self) -> Path:
        """The two systems as Envoy clusters."""
        return self.root / "clusters.json"

    def secret(self, name: str) -> Path:
        """Which files a certificate or its authorities are in, for Envoy; no secret itself."""
        return self.root / f"tls-{name}.json"

    def user_list(self, sha256: str) -> Path:
        """The users that a segment lists, for Envoy's script; named by their digest."""
        return self.root / f"{_USERS}{sha256}.txt"

    @property
    def user_lists(self) -> list[Path]:
        """Every list that is there, those of earlier plans among them."""
        return sorted(self.root.glob(f"{_USERS}*.txt"))

    @property
    def listeners(self) -> Path:
        """The second hops of long connections; a changed one ends those that it has."""
        return self.root / "listeners.json"

    @property
    def safe_listeners(self) -> Path:
        """Hops that end all long connections of the candidate, ready for break glass."""
        return self.root / "listeners.safe.json"

    @property
    def access_log(self) -> Path:
        """One JSON line per request."""
        return self.root / "access.log"

    @property
    def journal(self) -> Path:
        """What break glass did, until it is recorded in the store."""
        return self.root / "break-glass.json"

    @property
    def nodes(self) -> Path:
        """Where glass is broken at the gateway nodes, as the store said last."""
        return self.root / "nodes.json"

    @property
    def retired(self) -> Path:
        """The note that the baseline was retired."""
        return self.root / "retired.json"

    @property
    def retired_known(self) -> Path:
        """That this machine was told whether the baseline was retired: the note can be trusted."""
        return self.root / "retired-known.json"

    @property
    def retirable(self) -> Path:
        """A node's: how a baseline that its plan may retire is asked, while there is no plan."""
        return self.root / "retirable.json"

    @property
    def back_pressure(self) -> Path:
        """What back-pressure does now; it outlives the process that wrote it."""
        return self.root / "back_pressure.json"

    @property
    def mark(self) -> Path:
        """The text by which the gateway knows synthetic load; only the owner may read it."""
        return self.root / "load.mark"

    @property
    def lock(self) -> Path:
        """Locked while routes are replaced."""
        return self.root / "publish.lock"

    @property
    def turn(self) -> Path:
        """Locked by the publisher whose turn it is, until Envoy confirms; not by a rollback."""
        return self.root / "turn.lock"

    @property
    def admin_socket(self) -> Path:
        """Envoy's admin interface: a Unix socket that only the owner may use."""
        return self._socket("admin")

    @property
    def tap_socket(self) -> Path:
        """Where the shadow service receives copies of requests and answers."""
        return self._socket("tap")

    def hop_socket(self, system: str) -> Path:
        """The second hop before a system."""
        return self._socket(f"hop-{system}")

    def stream_socket(self, name: str) -> Path:
        """The second hop before the candidate of one group's long connections."""
        return self._socket(f"streams-{name}")

    def _socket(self, name: str) -> Path:
        path = self.root / f"{name}.sock"
        if len(str(path).encode()) <= _LONGEST_SOCKET:
            return path
        # By a hash of the directory: every process of this migration finds the same short path.
        short = hashlib.sha256(str(self.root).encode()).hexdigest()[:16]
        suffix = "" if name == "admin" else f"-{name}"
        return Path(tempfile.gettempdir()) / f"changeover-{short}{suffix}.sock"


def describe_journal(journal: Mapping[str, Any]) -> str:
    """Return in words what a journal says was done without the store."""
    actor = journal.get("actor", "somebody")
    if "busy" in journal:
        return f"{actor} sent everyone to the baseline while the store was busy; the store follows"
    return f"a break-glass rollback by {actor} is not yet recorded in the store"

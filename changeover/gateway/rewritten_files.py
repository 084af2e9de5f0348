"""Certificates that are written in place: Envoy notices renames only, so it is told to read again.

Neighbour: `changeover.gateway.tls_files` reads them before anything starts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from changeover.gateway.envoy import tls
from changeover.gateway.files import GatewayFiles
from changeover.gateway.routes_on_disk import replace_json
from changeover.machine import trust
from changeover.plan.model import Plan


@dataclass(slots=True)
class _Known:
    """One secret's files: as they were at the last look, and as Envoy was last told to read."""

    seen: trust.Stamp | None = None
    told: trust.Stamp | None = None


class RewrittenFiles:
    """Has Envoy read a plan's certificates, keys and authorities when they were written again.

    1. Files that changed since the last look are still being written: they wait for the next one.
    2. A key that does not fit its certificate yet, or half a file, is not taken.
    3. Envoy's secret is replaced by one that names the same files in another spelling: Envoy reads
       files again where a secret differs, and keeps what it has when it cannot use them.

    Envoy's own watch for renames stays as it is, also while nobody looks here. The files are read
    once at the start: they may have been written while nobody looked.

    Args:
        plan: The migration's plan.
        files: Where its gateway's files are.
    """

    def __init__(self, plan: Plan, files: GatewayFiles) -> None:
        self._plan, self._files = plan, files
        self._known = {name: _Known() for name in tls.secrets(plan)}

    def look(self) -> list[str]:
        """Look at the files; return the names of the secrets that Envoy was told to read.

        Call it about once a second.

        Raises:
            OSError: A pair cannot be used (yet); the others were looked at.
        """
        renewed: list[str] = []
        problem: OSError | None = None
        for name, known in self._known.items():
            parts = tls.parts_of(tls.secrets(self._plan)[name])
            before, known.seen = known.seen, trust.stamp([each for each in parts if each])
            if known.seen != before or known.seen == known.told:
                continue
            try:
                trust.context(*parts)
                if self._renew(name):
                    renewed.append(name)
            except OSError as error:
                problem = OSError(f"{', '.join(each for each in parts if each)} cannot be used, "
                                  f"the gateway goes on with what it has: {error}")
            else:
                known.told = known.seen
        if problem is not None:
            raise problem
        return renewed

    def _renew(self, name: str) -> bool:
        """Replace a secret by the other spelling; return whether there is a gateway here."""
        path = self._files.secret(name)
        try:
            present = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return False
        content = tls.secrets(self._plan)[name]
        if content == present:
            content = tls.secrets(self._plan, is_respelled=True)[name]
        replace_json(path, content)
        return True

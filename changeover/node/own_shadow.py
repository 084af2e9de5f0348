"""The shadow service beside a node's Envoy, where the node was asked for one.

It has the tap of this node's Envoy, and its comparisons count with those of all other gateways. It
takes the address of the store from `$CHANGEOVER_SHADOW_STORE_URL`, where its rights are others than
the node's, and runs on while the node's agent is away.
"""

from __future__ import annotations

import os
import sys

from changeover.plan.model import Plan
from changeover.site.home import STORE_VARIABLE, Home
from changeover.supervisor.child import Child

SHADOW_STORE_VARIABLE = "CHANGEOVER_SHADOW_STORE_URL"


def child(home: Home, migration: str, name: str, url: str) -> Child:
    """Return the process of a node's shadow service, not started.

    Args:
        home: The node's own.
        migration: Name of the migration.
        name: The node's name.
        url: The node's address of the store.
    """
    command = [sys.executable, "-m", "changeover.shadow", "--home", str(home.root),
               "--migration", migration, "--gateway", name]
    own = os.environ.get(SHADOW_STORE_VARIABLE) or url
    return Child("shadow", command, home.logs / "shadow.log", {STORE_VARIABLE: own})


def keep(shadow: Child, plan: Plan) -> None:
    """Start the service where the plan has a part for it, else end it.

    Args:
        shadow: Its process, started or not.
        plan: The plan as the node serves it.

    Raises:
        EnvironmentProblem: It cannot be started.
    """
    if plan.shadow is None:
        shadow.end()
        shadow.is_wanted = False
    elif not shadow.is_alive:
        shadow.start()

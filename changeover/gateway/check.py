"""Having Envoy check a configuration without serving it, for its reason in words.

`envoy --mode validate` does not read watched files, so routes and clusters are put inside the
bootstrap here. Neighbour: `changeover.gateway.publish` writes what Envoy really serves.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from changeover.errors import EnvironmentProblem, Unreachable
from changeover.gateway.envoy.config import Json
from changeover.gateway.process import validate_command

LONGEST_SECONDS = 120.0
_LONGEST = 700


def refusal(bootstrap: Json, clusters: Json, routes: Sequence[Json]) -> str:
    """Return why Envoy refuses this configuration; empty when it accepts it.

    Args:
        bootstrap: As `render_bootstrap` makes it.
        clusters: As `render_clusters` makes it.
        routes: Discovery responses as `render_routes` makes them; each is checked.

    Raises:
        EnvironmentProblem: Envoy is missing, or may not be run by this user.
        Unreachable: Envoy has not checked it within `LONGEST_SECONDS`.
    """
    for response in routes:
        if reason := _refusal_of(static_bootstrap(bootstrap, clusters, response)):
            return reason
    return ""


def static_bootstrap(bootstrap: Json, clusters: Json, routes: Json) -> Json:
    """Return one configuration that has everything in it and watches no file."""
    # A deep copy, to be changed.
    whole: Json = json.loads(json.dumps(bootstrap))
    del whole["dynamic_resources"]
    static = whole["static_resources"]
    static["clusters"] = [_untyped(resource) for resource in clusters["resources"]]
    # Routes from a watched file are put inside; the second hop has its own and keeps them.
    for listener in static["listeners"]:
        for chain in listener["filter_chains"]:
            manager = chain["filters"][0]["typed_config"]
            if manager.pop("rds", None):
                manager["route_config"] = _untyped(routes["resources"][0])
    return whole


def _refusal_of(bootstrap: Json) -> str:
    with tempfile.TemporaryDirectory(prefix="changeover-check-") as directory:
        path = Path(directory) / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        try:
            checked = subprocess.run(
                validate_command(path), capture_output=True, text=True, check=False,
                timeout=LONGEST_SECONDS,
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"envoy cannot be started: {error.strerror or error}",
                where=validate_command(path)[0],
                next_step="Let this user run it, or install it anew",
            ) from None
        except subprocess.TimeoutExpired:
            raise Unreachable(
                f"envoy did not check the configuration within {LONGEST_SECONDS:g} s",
                next_step="Run the command again when the machine is less busy",
            ) from None
    if not checked.returncode:
        return ""
    # Envoy logs what it does first; why it gives up is its last line.
    lines = (checked.stderr or checked.stdout).strip().splitlines()
    return _shortened(lines[-1]) if lines else "no reason given"


def _shortened(reason: str) -> str:
    """Return both ends of a long reason: Envoy quotes the whole value before what is wrong."""
    return reason if len(reason) <= _LONGEST else f"{reason[:200]} … {reason[-400:]}"


def _untyped(resource: Json) -> Json:
    """Return a resource as it stands inside a bootstrap, where its place says its type."""
    return {key: value for key, value in resource.items() if key != "@type"}

"""Levers: named actions of the plan on a system, an HTTP POST or a command."""

from __future__ import annotations

import subprocess

import httpx

from changeover import clock
from changeover.store import audit
from tasks.runtime import Runtime


def pull_lever(runtime: Runtime, name: str) -> str:
    """Do what a lever says and audit it; return why it failed, or an empty text.

    Args:
        runtime: The migration's connections.
        name: The lever's name in the plan.
    """
    lever = runtime.plan.levers[name]
    timeout = lever.timeout.total_seconds()
    problem = ""
    try:
        if lever.command:
            subprocess.run(
                lever.command, check=True, timeout=timeout, capture_output=True,
                stdin=subprocess.DEVNULL,
            )
        else:
            url = runtime.plan.system(lever.of or "candidate").url.rstrip("/") + (lever.post or "")
            httpx.post(url, json=lever.body or {}, timeout=timeout).raise_for_status()
    except (subprocess.SubprocessError, OSError, httpx.HTTPError) as error:
        problem = f"lever {name} failed ({type(error).__name__}: {str(error)[:200]})"
    audit.record(
        runtime.store, runtime.migration, actor="flow", kind="lever.pulled",
        data={"lever": name, "problem": problem}, now=clock.now(),
    )
    return problem

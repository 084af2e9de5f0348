"""Levers: named actions of the plan on a system, an HTTP POST or a command.

A lever that is pulled for an `occasion` (`cutover-7 final configuration`) is pulled once for it:
what has worked is in the audit and is not done again. Between the action and its record a kill is
possible, so the receiver gets the occasion, too, and can refuse to act twice: as the header
`Idempotency-Key` of a POST, as the variable `CHANGEOVER_IDEMPOTENCY_KEY` of a command.

A lever that is pulled for a repair is told what it repairs: in the body of its POST as `repair`, in
a command's variable `CHANGEOVER_REPAIR` as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.gateway import reaching
from changeover.machine.environment import for_other_programs
from changeover.plan.model import Plan
from changeover.plan.procedures import LeverSpec
from changeover.site.site import Site
from changeover.store import audit

KEY_HEADER, KEY_VARIABLE = "Idempotency-Key", "CHANGEOVER_IDEMPOTENCY_KEY"
REPAIR, REPAIR_VARIABLE = "repair", "CHANGEOVER_REPAIR"


def pull_lever(
    site: Site, name: str, *, actor: str, occasion: str = "",
    repair: Mapping[str, str] | None = None
) -> str:
    """Do what a lever says and audit it; return why it failed, or an empty text.

    Args:
        site: The migration.
        name: The lever's name in the plan.
        actor: Who or what pulls it.
        occasion: For what it is pulled; it works once for each. Empty: every time.
        repair: What it repairs; None for every other use.
    """
    key = _key(site.plan, name, occasion)
    if key and audit.is_recorded(site.store, site.migration, key):
        return ""
    problem = pull(site.plan, name, key, repair)
    note(site, name, problem, actor=actor, occasion=occasion)
    return problem


def note(site: Site, name: str, problem: str, *, actor: str, occasion: str = "") -> None:
    """Audit that a lever was pulled; one that worked for an occasion is not pulled for it again."""
    key = _key(site.plan, name, occasion)
    facts = {"lever": name, "problem": problem}
    if occasion:
        facts["occasion"] = occasion
    audit.record(site.store, site.migration, NewEvent(
        actor=actor, kind="lever.pulled", at=clock.now(), data=facts,
        # a failure leaves no key behind: the lever may be pulled again
        once_key="" if problem else key))


def pull(
    plan: Plan, name: str, key: str = "", repair: Mapping[str, str] | None = None
) -> str:
    """Do what a lever says without the store; return why it failed, or an empty text."""
    problem = _pulled(plan, plan.levers[name], key, repair)
    return f"lever {name} failed ({problem})" if problem else ""


def pull_all(
    site: Site, names: Sequence[str], *, actor: str, repair: Mapping[str, str] | None = None
) -> list[str]:
    """Pull levers in order, whatever fails, and return one sentence for each that failed."""
    problems = []
    for name in names:
        problem = pull_lever(site, name, actor=actor, repair=repair)
        if problem:
            problems.append(problem)
    return problems


def _key(plan: Plan, name: str, occasion: str) -> str:
    return f"lever {plan.migration} {occasion} {name}" if occasion else ""


def _pulled(plan: Plan, lever: LeverSpec, key: str, repair: Mapping[str, str] | None) -> str:
    """Run a lever's command or send its request; return why it failed, or an empty text."""
    timeout = lever.timeout.total_seconds()
    if lever.command:
        env = {KEY_VARIABLE: key} if key else {}
        if repair:
            env[REPAIR_VARIABLE] = json.dumps(dict(repair))
        return _run(lever.command, timeout, env)
    body = {**(lever.body or {}), **({REPAIR: dict(repair)} if repair else {})}
    return _posted(plan, lever, body, key)


def _run(command: Sequence[str], timeout: float, env: Mapping[str, str]) -> str:
    program, *arguments = command
    try:
        subprocess.run(
            # a plan's `python` is the one that runs this, on whatever machine
            [sys.executable if program == "python" else program, *arguments], check=True,
            timeout=timeout, capture_output=True, stdin=subprocess.DEVNULL,
            env={**for_other_programs(), **env},
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return f"exit code {error.returncode}: {' '.join(last)[:200]}"
    except subprocess.TimeoutExpired:  # its text has the whole command
        return f"not done in {timeout:g} s"
    except (subprocess.SubprocessError, OSError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def _posted(plan: Plan, lever: LeverSpec, body: dict[str, Any], key: str) -> str:
    import httpx  # commands that pull no such lever start without it

    try:
        headers = {KEY_HEADER: key} if key else None
        system = plan.system(lever.of or "candidate")
        reaching.post(system, lever.post or "", body, timeout=lever.timeout.total_seconds(),
                      headers=headers).raise_for_status()
    except httpx.HTTPStatusError as error:  # its text has the address, which may have a secret
        return f"{error.response.status_code} {error.response.reason_phrase}"
    except (OSError, httpx.HTTPError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""

"""The note beside the gateway's files that the baseline was retired, for those without a store.

`rollback.sh` and `changeover rollback --break-glass` know nothing but these files. While the note
is there they send users to the baseline only when it is well: it may be gone for good.

Where there is none, that says something only on a machine that was told: one that was set up anew
after a disk was lost, and a gateway node, have none either.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from changeover.errors import Refused
from changeover.gateway import reaching
from changeover.gateway.files import GatewayFiles
from changeover.machine.files import READABLE_BY_ALL, write_atomically
from changeover.plan.model import PhaseKind, Plan
from changeover.plan.systems import SystemSpec
from changeover.procedures import baseline


def note(files: GatewayFiles, plan: Plan, *, now: datetime) -> None:
    """Leave the note; left again, it stays as it was."""
    if files.retired.exists():
        return
    content = {"at": now.isoformat(), **_asked(plan)}
    # `rollback.sh` may be run by another user than the one of the flows
    write_atomically(files.retired, json.dumps(content), mode=READABLE_BY_ALL)


def _asked(plan: Plan) -> dict[str, Any]:
    """Return how a plan's baseline is asked whether it is well."""
    spec = plan.systems.baseline
    return {
        "name": spec.name,
        "health": reaching.health_address(spec),
        "timeout": spec.health_timeout.total_seconds(),
        # the address alone may not say how it is reached
        "system": spec.model_dump(mode="json", exclude_unset=True, exclude={"process"}),
    }


def forget(files: GatewayFiles) -> None:
    """Take the note away: a new cutover has begun."""
    files.retired.unlink(missing_ok=True)


def know(files: GatewayFiles) -> None:
    """Keep that this machine was told: from now on no note means that nothing was retired."""
    if not files.retired_known.exists():
        write_atomically(files.retired_known, json.dumps({"is_known": True}), mode=READABLE_BY_ALL)


def is_known(files: GatewayFiles) -> bool:
    """Whether this machine was told, so that it need not ask the baseline."""
    return files.retired_known.exists()


def foresee(files: GatewayFiles, plan: Plan) -> None:
    """Keep at a node how a baseline that may be retired is asked, for a start without the store.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    if plan.phase(PhaseKind.DEPRECATION) is None:
        files.retirable.unlink(missing_ok=True)
    else:
        write_atomically(files.retirable, json.dumps(_asked(plan)))


def refuse_unless_well(files: GatewayFiles) -> None:
    """Refuse at a node to send users to a baseline that may be retired and is not well.

    Raises:
        Refused: The plan that the node had last may retire it, and it is not well.
    """
    if noted := _unwell(files.retirable):
        raise Refused(
            f"not rolled back because {noted['name']} is not well, and may have been retired",
            where=noted["health"],
            next_step="Start the baseline, or break glass from the main machine, which knows")


def refuse(files: GatewayFiles) -> None:
    """Refuse to send users to a baseline that was retired and is not well.

    Raises:
        Refused: It was, and it is not.
    """
    if noted := _unwell(files.retired):
        raise Refused(
            f"not rolled back because {noted['name']} was retired at {noted['at']} and is not well",
            where=noted["health"],
            next_step=f"Mend the candidate, or start the baseline; without {files.retired} users "
            "are sent there all the same")


def _unwell(path: Path) -> dict[str, Any] | None:
    """Return a note whose baseline is not well; None when it is, or nothing is noted."""
    try:
        noted: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return None if _is_well(noted) else noted


def _is_well(noted: dict[str, Any]) -> bool:
    # a note of an older release says no more than the address
    if "system" not in noted:
        return baseline.answers(noted["health"], noted["timeout"])
    return reaching.is_well(SystemSpec.model_validate(noted["system"]))

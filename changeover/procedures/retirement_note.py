"""The note beside the gateway's files that the baseline was retired, for those without a store.

`rollback.sh` and `changeover rollback --break-glass` know nothing but these files. While the note
is there they send users to the baseline only when it is well: it may be gone for good.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from changeover.errors import Refused
from changeover.gateway import reaching
from changeover.gateway.files import GatewayFiles
from changeover.machine.files import READABLE_BY_ALL, write_atomically
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec
from changeover.procedures import baseline


def note(files: GatewayFiles, plan: Plan, *, now: datetime) -> None:
    """Leave the note; left again, it stays as it was."""
    if files.retired.exists():
        return
    spec = plan.systems.baseline
    content = {
        "name": spec.name,
        "at": now.isoformat(),
        "health": reaching.health_address(spec),
        "timeout": spec.health_timeout.total_seconds(),
        # the address alone may not say how it is reached
        "system": spec.model_dump(mode="json", exclude_unset=True, exclude={"process"}),
    }
    # `rollback.sh` may be run by another user than the one of the flows
    write_atomically(files.retired, json.dumps(content), mode=READABLE_BY_ALL)


def forget(files: GatewayFiles) -> None:
    """Take the note away: a new cutover has begun."""
    files.retired.unlink(missing_ok=True)


def refuse(files: GatewayFiles) -> None:
    """Refuse to send users to a baseline that was retired and is not well.

    Raises:
        Refused: It was, and it is not.
    """
    try:
        noted = json.loads(files.retired.read_bytes())
    except FileNotFoundError:
        return
    if not _is_well(noted):
        raise Refused(
            f"not rolled back because {noted['name']} was retired at {noted['at']} and is not well",
            where=noted["health"],
            next_step=f"Mend the candidate, or start the baseline; without {files.retired} users "
            "are sent there all the same")


def _is_well(noted: dict[str, Any]) -> bool:
    # a note of an older release says no more than the address
    if "system" not in noted:
        return baseline.answers(noted["health"], noted["timeout"])
    return reaching.is_well(SystemSpec.model_validate(noted["system"]))

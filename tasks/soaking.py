"""Waiting out a soak without holding a process."""

from __future__ import annotations

from changeover import clock
from changeover.plan.units import format_duration
from changeover.store import cutovers
from tasks.lifecycle import cutover_of
from tasks.runtime import current_state, runtime_of
from tasks.steps import come_back


async def soak(migration: str, cutover_id: int, stage: str) -> None:
    """Return when the stage's soak is over; until then the run sleeps as `Soaking`.

    Woken early (a recovery, a person's click), it goes back to sleep.

    Raises:
        StaleEpoch: A rollback came first.
        Pause: The soak is not over; the worker starts the run again when it is.
    """
    runtime = runtime_of(migration)
    while True:
        current_state(runtime, cutover_of(migration, cutover_id))
        record = cutovers.stage(runtime.store, cutover_id, stage)
        if record is None or clock.now() >= record.soak_until:
            return
        spec = runtime.plan.stage(stage)
        await come_back(
            record.soak_until,
            name="Soaking",
            message=f"{spec.title} soaks for {format_duration(spec.soak)}, "
            f"until {record.soak_until:%Y-%m-%d %H:%M:%S} UTC",
        )

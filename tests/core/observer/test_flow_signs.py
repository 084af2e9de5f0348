"""Whether the process of a flow run lives: by its number here, by its signs elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from changeover.domain.health import Heartbeat
from changeover.machine.identity import machine_id
from changeover.observer.flow_signs import LONGEST_GAP_SECONDS, SILENT_SECONDS, FlowSigns

AT = datetime(2026, 1, 2, 12, tzinfo=UTC)
HERE = Heartbeat("flow:1", AT, os.getpid(), f"{psutil.Process().create_time():.2f}", machine_id())
ELSEWHERE = replace(HERE, machine="another")


@dataclass
class Watch:
    """Looks at a sign at chosen moments."""

    now: float = 0.0

    def __post_init__(self) -> None:
        self.signs = FlowSigns(lambda: self.now)

    def look(self, sign: Heartbeat, *, after: float) -> str:
        self.now += after
        self.signs.turn()
        return self.signs.why_lost(sign)

    def look_for(self, sign: Heartbeat, seconds: float) -> str:
        """Look each five seconds; return what was said last."""
        said = ""
        for _ in range(int(seconds // 5)):
            said = self.look(sign, after=5)
        return said


@pytest.mark.parametrize("machine", ["", machine_id()], ids=["unknown", "this"])
def test_on_this_machine_the_number_of_the_process_tells(machine: str) -> None:
    """An empty name is of a version that knew one machine."""
    watch, sign = Watch(), replace(HERE, machine=machine)
    assert watch.look_for(sign, 3600) == ""
    assert watch.look(replace(sign, detail="1.00"), after=1) == "its process vanished"


def test_the_number_of_another_machines_process_says_nothing() -> None:
    """Here it belongs to this test, or to nobody."""
    assert Watch().look(ELSEWHERE, after=1) == Watch().look(
        replace(ELSEWHERE, pid=2 ** 22 + 1), after=1) == ""


def test_another_machines_process_is_gone_after_a_time_without_a_sign() -> None:
    """By the clock of who looks: the sign's own time may be an hour wrong."""
    watch = Watch()
    assert watch.look_for(ELSEWHERE, SILENT_SECONDS + 5) == ""
    assert watch.look(ELSEWHERE, after=5) == "its process on another machine gave no sign for 20 s"
    newer = replace(ELSEWHERE, at=AT + timedelta(seconds=1))
    assert watch.look(newer, after=5) == ""


def test_a_time_in_which_nobody_looked_is_no_silence() -> None:
    """The store was away for an hour: the process could not give a sign either."""
    watch = Watch()
    watch.look_for(ELSEWHERE, 15)
    assert watch.look(ELSEWHERE, after=3600) == ""
    assert watch.look(ELSEWHERE, after=LONGEST_GAP_SECONDS + 1) == ""

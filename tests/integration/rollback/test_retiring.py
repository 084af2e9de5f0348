"""A rollback that comes while the baseline is retired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.window import ErrorClass, Sample
from changeover.domain.rollout import CutoverStatus
from changeover.errors import Refused, Unreachable
from changeover.procedures import baseline, verification
from changeover.procedures.deprecation import Retirement, pull_levers, refuse_while_called
from changeover.store import cutovers, samples
from tests.integration.rollback.conftest import Open, Scene
from tests.integration.rollback.test_finishing import levers

pytestmark = pytest.mark.integration


def promoted(scene: Open, tmp_path: Any, *names: str, is_counted: bool = True,
             ago: timedelta = timedelta(0)) -> Scene:
    """Start with everyone at the candidate, counted up to now; these levers retire the baseline.

    It was promoted so long ago.
    """
    site = scene(levers=levers(tmp_path), phases=[
        {"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}, {"phase": "full", "soak": 0},
        {"phase": "deprecation", "after": "1m", "levers": [*names]}])
    cutover, now = site.begin(), clock.now()
    cutovers.finish(site.place.store, cutover.id, CutoverStatus.PROMOTED, outcome="",
                    now=now - ago)
    if is_counted:
        samples.write(site.place.store, "bench", [
            Sample(system="candidate", at=int(now.timestamp()) + 600, requests=1)])
    return site


def test_retiring_ends_when_a_rollback_comes_between(scene: Open, tmp_path: Any) -> None:
    """Everyone is at the baseline again: the levers that are left would remove it under them."""
    site = promoted(scene, tmp_path, "drain", "off")
    with pytest.raises(Refused, match="not retired because bench is at emergency_rollback"):
        pull_levers(Retirement(site.place))
    assert site.pulled() == ["drain"]
    assert baseline.is_well(site.place.plan)


def test_retired_baseline_is_no_way_back_from_before_the_first_lever(
    scene: Open, tmp_path: Any
) -> None:
    """The lever took it away, and a rollback knows."""
    site = promoted(scene, tmp_path, "off")
    pull_levers(Retirement(site.place))
    with pytest.raises(Refused, match="was retired"):
        site.roll_back()


def test_baseline_whose_callers_nobody_counted_is_not_retired(
    scene: Open, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No calls that are known are not the same as no calls; it is tried again later."""
    monkeypatch.setattr(verification, "MEASURED_WITHIN", 0.5)
    site = promoted(scene, tmp_path, "off", is_counted=False)
    with pytest.raises(Unreachable, match="nobody counted who called the baseline"):
        pull_levers(Retirement(site.place))
    assert site.pulled() == []


def test_baseline_that_is_still_called_is_not_retired(scene: Open, tmp_path: Any) -> None:
    """Its own requests and those that it answered in the candidate's place are counted."""
    site = promoted(scene, tmp_path, "off", ago=timedelta(hours=1))
    at = int(clock.now().timestamp()) - 2
    samples.write(site.place.store, "bench", [
        Sample(system="baseline", at=at, requests=2),
        Sample(system="candidate", at=at, requests=9, errors={ErrorClass.SAVED: 3})])
    told = r"the baseline answered 5 requests since .* \(2 of its own"
    with pytest.raises(Refused, match=told):
        refuse_while_called(Retirement(site.place))
    with pytest.raises(Refused, match=told):
        pull_levers(Retirement(site.place))
    assert site.pulled() == []

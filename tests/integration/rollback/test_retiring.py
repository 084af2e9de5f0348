"""A rollback that comes while the baseline is retired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from changeover import clock
from changeover.analysis.window import ErrorClass, Sample
from changeover.domain.gateway_nodes import NodeState
from changeover.domain.rollout import CutoverStatus
from changeover.errors import Refused, Unreachable
from changeover.procedures import baseline, verification
from changeover.procedures.deprecation import Retirement, pull_levers, refuse_while_called
from changeover.store import cutovers, gateway_nodes, samples
from changeover.store.gateway_nodes import GatewayNodeRow, Identity, Sign
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


def test_a_baseline_that_is_called_at_a_gateway_node_only_is_not_retired(
    scene: Open, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the main gateway counted says nothing of a node that has not sent its seconds."""
    monkeypatch.setattr(verification, "MEASURED_WITHIN", 0.5)
    site = promoted(scene, tmp_path, "off")
    store, now = site.place.store, int(clock.now().timestamp())
    edge = Identity("bench", "edge-1", "home", "10.0.0.1:8100")
    gateway_nodes.join(store, edge)

    def sign(measured_until: int) -> None:
        gateway_nodes.sign(store, edge, Sign(NodeState.READY, (0, 1), measured_until))

    for until in (0, now - 60):
        sign(until)
        with pytest.raises(Unreachable, match=r"baseline up to .* UTC at gateway node edge-1"):
            pull_levers(Retirement(site.place))
    sign(now + 600)
    refuse_while_called(Retirement(site.place))
    with store.begin() as session:
        session.execute(update(GatewayNodeRow).values(
            seen=clock.now() - timedelta(seconds=10)))
    with pytest.raises(Unreachable, match="gateway nodes: edge-1 not heard of since"):
        pull_levers(Retirement(site.place))
    assert site.pulled() == []


def test_seconds_that_all_gateways_measured_show_that_nobody_is_sent_to_the_candidate(
    scene: Open, tmp_path: Any
) -> None:
    """The gateway that is behind the others says until when."""
    site = promoted(scene, tmp_path, "off")
    store, now = site.place.store, int(clock.now().timestamp())
    edge = Identity("bench", "edge-1", "home", "10.0.0.1:8100")
    gateway_nodes.join(store, edge)
    gateway_nodes.sign(store, edge, Sign(NodeState.READY, (0, 1), now - 60))
    problem, = verification._still_sent(site.place, clock.now())
    assert "at gateway node edge-1" in problem and "main" not in problem
    assert verification._quiet(site.place)[1] == clock.from_timestamp(now - 60)


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

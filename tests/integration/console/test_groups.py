"""The page and the status of a migration that belongs to a group."""

from __future__ import annotations

import pytest

from changeover import clock
from changeover.domain.routing import Mode
from changeover.store import cutovers, plans
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration


def test_page_and_status_show_the_members_and_what_is_waited_for(serve: Serve) -> None:
    """Before the first stage of the follower begins, and when its leader was rolled back."""
    console = serve(make_plan(group={"name": "checkout", "order": 2}))
    first = make_plan(migration="orders", group={"name": "checkout", "order": 1})
    plans.register(console.store, first, source="test", now=clock.now())
    cutovers.begin(console.store, "bench", flow_run_id="run", now=clock.now())
    client = console.client()
    group = client.get("/v1/status").json()["group"]
    waits = "gradual 50 % waits: orders (order 1) is at baseline only, and 50 % must be reached"
    assert group["waits"].startswith(waits)
    assert [each["migration"] for each in group["members"]] == ["orders", "bench"]
    parts = ("Waits for its group", waits, "Group checkout")
    # the first page after a start may say that it is loading
    wait_for(lambda: all(part in client.get("/").text for part in parts), what=f"{parts}")
    console.move(Mode.EMERGENCY_ROLLBACK)
    # an answer is kept for a moment
    wait_for(lambda: client.get("/v1/status").json()["group"]["waits"] is None,
             what="nothing is waited for")

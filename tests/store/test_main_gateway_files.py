"""The main gateway follows the store whatever becomes of the files that lie beside it."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from changeover import clock
from changeover.gateway.absent import AbsentGateway
from changeover.observer import main_gateway
from changeover.observer.throttle import LogOnce
from changeover.plan.targets import ReportsSpec
from changeover.procedures import preparation
from changeover.site.elsewhere import Away
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import main_gateways, plans
from changeover.store.engine import Store
from tests.core.procedures.conftest import begun
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE, meanwhile, wait_for


@pytest.fixture
def database() -> str:
    """Elsewhere there is somebody on PostgreSQL only."""
    return "postgres"


@pytest.mark.postgres
def test_a_target_that_hangs_does_not_keep_the_main_gateway_from_following(
    store: Store, tmp_path: Path
) -> None:
    """It still gives signs of life while the script that a flow elsewhere left is copied."""
    with ExitStack() as stack:
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        silent.settimeout(LONGEST_PAUSE)
        plan = make_plan()
        plans.register(store, plan, source="test", now=clock.now())
        away = Away(tmp_path / "scratch", store, plan.migration)
        away.root.mkdir()
        run = begun(Site(away, plan, store, AbsentGateway(
            away.gateway_files, store, plan.migration)))
        preparation.write_way_back(run)
        site = Site(Home(tmp_path / "main"), plan.model_copy(update={"reports": ReportsSpec(
            target=f"ftp://127.0.0.1:{silent.getsockname()[1]}/x",
            within=timedelta(minutes=10))}), store)
        stop = threading.Event()
        for _name, part in main_gateway.parts(site, LogOnce(), stop):
            stack.enter_context(meanwhile(lambda _done, part=part: part()))
        stack.callback(stop.set)
        # whoever copies waits from here on for an answer
        asking = silent.accept()[0]
        stack.callback(asking.close)
        since = clock.now()

        def is_followed() -> bool:
            found = main_gateways.find(store, plan.migration)
            return found is not None and found.seen > since

        wait_for(is_followed, what="a sign of life of the main gateway")
        # that was not after the client of the target had given up: it still waits
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.recv(1)
        assert (site.home.root / "rollback" / run.subject / "rollback.sh").exists()

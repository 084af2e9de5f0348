"""Applications know who is listed: by the store, by the console, and from their cache."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import httpx
import pytest

from changeover.cli.main import main
from changeover.clock import now
from changeover.console.ofrep import MOST_LISTS
from changeover.domain.routing import Mode
from changeover.plan.load import load_plan
from changeover.plan.user_lists import MOST_USERS
from changeover.sdk.feed import Feed
from changeover.site.home import Home
from changeover.store import plans
from tests.core.plan.test_load import GOOD
from tests.integration.flags.conftest import FLAGS, Site, is_up
from tests.support.processes import LONGEST_PAUSE, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
LISTED = GOOD.replace("any_of: [beta]", "file: beta.txt") + FLAGS
SYSTEM = "useNewArchitecture"


def register(site: Site, folder: Path, *users: str) -> None:
    """Register the plan whose segment has these users."""
    (folder / "beta.txt").write_text("\n".join(users))
    (folder / "own.yaml").write_text(LISTED)
    plans.register(site.store, load_plan(folder / "own.yaml"), source="test", now=now())


def moved(feed: Feed) -> set[str]:
    """Return who of four users gets the candidate."""
    return {name for name in ("ann", "bob", "eve", "joe")
            if feed.evaluate(SYSTEM, "user-7", {"x-cohort": name}).value is True}


def test_all_say_the_same_of_who_is_listed(site: Site, tmp_path: Path) -> None:
    """In process, by OFREP, by `explain`, and after the console has gone."""
    register(site, tmp_path, "ann", "bob")
    site.move(Mode.GRADUAL, 0, segments=("beta",))
    cache = tmp_path / "flags.json"
    with site.serving():
        is_up(site)
        with Feed.from_store(site.store, "shop").start(wait=LONGEST_PAUSE) as feed:
            assert moved(feed) == {"ann", "bob"}
        with Feed.from_console(site.url, cache=cache).start(wait=LONGEST_PAUSE) as feed:
            assert moved(feed) == {"ann", "bob"}
            wait_for(cache.exists, what="the cache")
        assert "ann" not in httpx.get(f"{site.url}/v1/flags/snapshot").text
        for name, value in (("ann", True), ("eve", False)):
            context = {"targetingKey": "user-7", "x-cohort": name}
            assert site.post(f"/{SYSTEM}", {"context": context}).json()["value"] is value
        assert httpx.get(f"{site.url}/v1/flags/lists/{'0' * 64}").status_code == 404
    with Feed.from_console(site.url, cache=cache).start(wait=LONGEST_PAUSE) as feed:
        assert moved(feed) == {"ann", "bob"}


def test_people_see_the_list_that_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By commands: the stored list, whatever the file says by now."""
    home = Home.resolve(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    (tmp_path / "beta.txt").write_text("eve\nann\n")
    (tmp_path / "own.yaml").write_text(LISTED)
    plans.register(store, load_plan(tmp_path / "own.yaml"), source="test", now=now())
    store.close()
    home.save_settings({"migration": "shop"})
    (tmp_path / "beta.txt").write_text("joe\n")
    at = ["--home", str(home.root)]
    assert main(["plan", "users", "beta", *at]) == 0
    assert capsys.readouterr().out == "ann\neve\n"
    assert main(["plan", "users", "gamma", *at]) == 2
    assert "segment 'gamma' lists no users in a file. Allowed: beta" in capsys.readouterr().err
    for name, inside in (("ann", ["beta"]), ("joe", [])):
        main(["explain", "user-7", "--attribute", f"x-cohort={name}", "--output", "json", *at])
        assert json.loads(capsys.readouterr().out)["segments"] == inside


def test_only_so_many_lists_are_sent_at_once(site: Site, tmp_path: Path) -> None:
    """Clients that do not read what they asked for cost the console no more than these."""
    register(site, tmp_path, *(f"{number:0190d}" for number in range(MOST_USERS)))
    listed = plans.load(site.store, "shop").routing.segments["beta"].listed
    assert listed is not None
    place = f"/v1/flags/lists/{listed.sha256}"
    with site.serving(), contextlib.ExitStack() as stack:
        is_up(site)
        host, port = site.url.removeprefix("http://").split(":")
        for _ in range(MOST_LISTS):
            idle = stack.enter_context(socket.create_connection((host, int(port))))
            idle.sendall(f"GET {place} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            assert idle.recv(15) == b"HTTP/1.1 200 OK"
        assert httpx.get(site.url + place).status_code == 429
        stack.close()
        whole = wait_for(lambda: _list_at(site.url + place), what="the list")
        assert len(whole) == MOST_USERS * 191


def _list_at(url: str) -> bytes:
    answer = httpx.get(url, timeout=LONGEST_PAUSE)
    return answer.content if answer.is_success else b""


def test_a_new_list_reaches_applications_that_run(site: Site, tmp_path: Path) -> None:
    """It is asked for once; the one of before is not kept beside the cache."""
    register(site, tmp_path, "ann")
    site.move(Mode.GRADUAL, 0, segments=("beta",))
    cache = tmp_path / "flags.json"
    with site.serving():
        is_up(site)
        with Feed.from_console(site.url, cache=cache).start(wait=LONGEST_PAUSE) as feed:
            assert moved(feed) == {"ann"}
            register(site, tmp_path, "eve", "joe")
            wait_for(lambda: moved(feed) == {"eve", "joe"}, what="the new list")
            wait_for(lambda: len(list(tmp_path.glob("flags.json.*.users"))) == 1, what="one list")

"""A segment with 100,000 listed users in a real gateway: who is on the list, and what it costs."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy.segment_script import header_of
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.plan.user_lists import MOST_USERS
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import LONGEST_PAUSE, free_port

pytestmark = pytest.mark.integration
PLACES = {"by_header": {"header": "x-user-id"}, "by_cookie": {"cookie": "account"},
          "by_query": {"query": "account"}}


def user(number: int) -> str:
    """Return a user's name; those of a directory begin and end alike, which some hashes mind."""
    return f"https://directory.example/people/{number:09d}/of-the-same-department"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A gateway in which every second user of the first 200,000 is listed."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "beta.txt").write_text(
        "".join(f"{user(2 * number)}\r\n" for number in range(MOST_USERS)))
    segments = {name: {**place, "file": "beta.txt"} for name, place in PLACES.items()}
    routing = {"listen": f"127.0.0.1:{free_port()}", "segments": segments}
    yield from start_bench(make_plan(folder=folder, routing=routing), folder)


def ask(gateway: Bench, place: str, value: str, **headers: str) -> str:
    """Return the system that answers a request with a value in a place."""
    where = {"by_header": {"x-user-id": value}, "by_cookie": {"cookie": f"a=b; account={value}"},
             "by_query": {}}[place]
    path = f"/?account={value}" if place == "by_query" else "/"
    connection = http.client.HTTPConnection(gateway.plan.routing.listen, timeout=LONGEST_PAUSE)
    connection.request("GET", path, headers={**where, **headers})
    found = json.loads(connection.getresponse().read())
    connection.close()
    assert not [name for name in found["headers"] if name.startswith("x-changeover")]
    return str(found["served_by"])


@pytest.mark.parametrize("place", PLACES)
def test_who_is_listed_moves_and_nobody_else(gateway: Bench, place: str) -> None:
    """The first, the last and any others; nobody can say of themselves that they are listed."""
    gateway.move(Mode.GRADUAL, 0, segments=(place,))
    chosen = [0, 1, 2 * MOST_USERS - 2, 2 * MOST_USERS - 1, 2 * MOST_USERS,
              *random.Random(7).sample(range(2 * MOST_USERS), 40)]
    for number in chosen:
        is_listed = number % 2 == 0 and number < 2 * MOST_USERS
        system = ask(gateway, place, user(number))
        assert system == ("candidate" if is_listed else "baseline"), number
    ours = header_of(gateway.plan.routing.segments[place])
    assert ask(gateway, place, user(1), **{ours: "1"}) == "baseline"


def test_a_publication_does_not_grow_with_the_list(gateway: Bench) -> None:
    """What is written and read at each change has no user in it."""
    gateway.move(Mode.GRADUAL, 2_500, segments=tuple(PLACES))
    files = gateway.gateway.files
    for path in (files.routes, files.safe_routes, files.clusters, files.bootstrap):
        assert path.stat().st_size < 200_000, path
    assert "directory.example" not in files.bootstrap.read_text() + files.routes.read_text()


def test_the_list_of_another_plan_replaces_it(tmp_path: Path) -> None:
    """The gateway's own file is named by its digest, and is nobody else's to read."""
    gateway, found = Gateway(GatewayFiles(tmp_path / "gateway")), []
    for users in ("user-1\n", "user-2\n"):
        (tmp_path / "beta.txt").write_text(users)
        plan = make_plan(folder=tmp_path, routing={"segments": {
            "beta": {"header": "x-user-id", "file": "beta.txt"}}})
        gateway.prepare(plan, RoutingState("bench"))
        (path,) = gateway.files.user_lists
        assert path.read_text() == users
        assert path.stat().st_mode & 0o077 == 0
        found.append(path)
    assert found[0] != found[1]

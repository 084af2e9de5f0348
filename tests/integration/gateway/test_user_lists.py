"""A segment with 100,000 listed users in a real gateway: who is on the list, and what it costs."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.envoy.segment_script import header_of, standing
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
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


def ask(
    gateway: Bench, place: str, value: str, *, is_current: bool = True, **headers: str
) -> str:
    """Return the system that answers a request with a value in a place."""
    where = {"by_header": {"x-user-id": value}, "by_cookie": {"cookie": f"a=b; account={value}"},
             "by_query": {}}[place]
    path = f"/?account={value}" if place == "by_query" else "/"
    connection = http.client.HTTPConnection(gateway.plan.routing.listen, timeout=LONGEST_PAUSE)
    connection.request("GET", path, headers={**where, **headers})
    found = json.loads(connection.getresponse().read())
    connection.close()
    # routes take off what their own plan's script says, and another one may still run
    if is_current:
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
    spec = gateway.plan.routing.segments[place]
    assert spec.listed is not None
    for value in ("1", standing(spec.listed, is_listed=True)):
        assert ask(gateway, place, user(1), **{header_of(spec): value}) == "baseline"


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


CHANGED = {
    "a list": {"header": "x-user-id", "file": "beta.txt"},
    "all but a list": {"header": "x-user-id", "file": "beta.txt", "not": True},
    "its first cookie": {"cookie": "account", "any_of": ["user-2"]},
    "all but one cookie": {"cookie": "account", "any_of": ["vip"], "not": True},
    "without a parameter": {"query": "account", "present": False},
}


def with_segment(folder: Path, like: Plan | None, segment: dict[str, object]) -> Plan:
    """Return a plan with one segment, between the systems of another plan."""
    routing = {"listen": like.routing.listen if like else f"127.0.0.1:{free_port()}",
               "segments": {"beta": segment}}
    systems = {} if like is None else {"systems": like.systems.model_dump(
        mode="json", by_alias=True, exclude_unset=True)}
    return make_plan(folder=folder, routing=routing, **systems)


@pytest.fixture(scope="module")
def old_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """An Envoy that was started when only user-1 was listed."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "beta.txt").write_text("user-1\n")
    yield from start_bench(with_segment(folder, None, CHANGED["a list"]), folder)


@pytest.mark.parametrize("name", CHANGED)
def test_an_envoy_that_runs_on_puts_nobody_into_a_segment_that_it_does_not_know(
    old_one: Bench, tmp_path: Path, name: str
) -> None:
    """Its script is that of before: it cannot know who is meant, and clients cannot say it."""
    (tmp_path / "beta.txt").write_text("user-2\n")
    plan = with_segment(tmp_path, old_one.plan, CHANGED[name])
    spec = plan.routing.segments["beta"]
    old_one.plan = plan
    old_one.gateway.prepare(plan, old_one.state)
    assert old_one.gateway.is_outdated(plan)
    old_one.move(Mode.GRADUAL, 0, segments=("beta",))
    claims = ["1", "", "user-2"]
    if spec.listed is not None:
        claims += [standing(spec.listed, is_listed=each) for each in (True, False)]
    for number in (1, 2, 3):
        for place in PLACES:
            for sent in ({}, *({header_of(spec): claim} for claim in claims)):
                found = ask(old_one, place, f"user-{number}", is_current=False, **sent)
                assert found == "baseline", (place, number, sent)


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    """Letters beyond ASCII, as many as make a socket's path too long, and quotation marks."""
    folder = tmp_path / "Grüße \"" / "ü"
    while len(str(folder)) < 85:
        folder = folder.with_name(folder.name + "ü")
    folder.mkdir(parents=True)
    (folder / "beta.txt").write_text("user-1\n")
    for bench in start_bench(with_segment(folder, None, CHANGED["a list"]), folder):
        bench.move(Mode.GRADUAL, 0, segments=("beta",))
        assert ask(bench, "by_header", "user-1") == "candidate"
        assert ask(bench, "by_header", "user-2") == "baseline"


def test_several_lists_about_one_place_are_told_apart(tmp_path: Path) -> None:
    """Each one and each `not`, for users of one, of both and of none."""
    for name, users in (("odd", (1, 3)), ("low", (1, 2))):
        (tmp_path / f"{name}.txt").write_text("".join(f"user-{each}\n" for each in users))
    segments = {f"{name}{suffix}": {"cookie": "account", "file": f"{name}.txt", **more}
                for name in ("odd", "low")
                for suffix, more in (("", {}), ("_not", {"not": True}))}
    routing = {"listen": f"127.0.0.1:{free_port()}", "segments": segments}
    for bench in start_bench(make_plan(folder=tmp_path, routing=routing), tmp_path):
        for name in segments:
            bench.move(Mode.GRADUAL, 0, segments=(name,))
            asked = {number: ask(bench, "by_cookie", f"user-{number}") for number in (1, 2, 3, 4)}
            listed = {1, 3} if name.startswith("odd") else {1, 2}
            meant = {1, 2, 3, 4} - listed if name.endswith("_not") else listed
            assert {number for number, system in asked.items() if system == "candidate"} == meant

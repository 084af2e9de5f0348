"""Envoy's log says which segments a request is of, as its routes match."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from changeover.domain.routing import Mode
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import Log
from tests.support.processes import LONGEST_PAUSE

pytestmark = pytest.mark.integration
VALUES = ["beta", "a.b|c", "it's \"(100%)%", "zwölf", "\\u0041"]
SEGMENTS = {"odd": {"header": "x-cohort", "any_of": VALUES},
            "mine": {"header": "x-user-id", "any_of": ["ann"]},
            "unread": {"header": "x-cohort", "any_of": ["beta"]}}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A plan with checks of two segments; the third one is read by nobody."""
    plan = make_plan(
        gates={"slo": [{"metric": "error_rate", "below": "1%", "segment": name}
                       for name in ("odd", "mine")]})
    routing = plan.routing.model_dump() | {"segments": SEGMENTS}
    changed = plan.model_dump(mode="json", by_alias=True, exclude_unset=True)
    yield from start_bench(
        type(plan).model_validate(changed | {"routing": routing}),
        tmp_path_factory.mktemp("segments"))


def subsets(bench: Bench, key: str, *cohorts: bytes) -> tuple[frozenset[str] | None, str]:
    """Return the segments that a request is logged with, and the system that it was meant for."""
    headers = [(b"x-user-id", key.encode()), *((b"x-cohort", each) for each in cohorts)]
    httpx.get(bench.url, headers=headers, timeout=LONGEST_PAUSE).raise_for_status()
    entry = Log(bench).entry(key)
    return entry.subsets, entry.route.partition(":")[0]


@pytest.mark.parametrize(("name", "cohorts"), [
    *((f"value {number}", [each.encode()]) for number, each in enumerate(VALUES)),
    ("none", []), ("empty", [b""]), ("other", [b"betas"]), ("case", [b"Beta"]),
    ("any of two", [b"beta", b"gamma"]), ("any, not the first", [b"gamma", b"beta"]),
    ("comma", [b"beta,gamma"]), ("not utf-8", [b"zw\xf6lf"]), ("escaped", [b"A"]),
])
def test_log_and_route_agree_on_who_is_of_a_segment(
    bench: Bench, name: str, cohorts: list[bytes]
) -> None:
    """Whatever the header's value is: logged as of the segment exactly when moved with it."""
    bench.move(Mode.GRADUAL, 0, segments=("odd",))
    found, meant = subsets(bench, f"user {name}", *cohorts)
    is_of_segment = name.startswith("value") or name.startswith("any")
    assert found == (frozenset({"segment:odd"}) if is_of_segment else frozenset())
    assert meant == ("candidate" if is_of_segment else "baseline")


def test_log_names_segments_whose_users_the_split_decides(bench: Bench) -> None:
    """Nobody was moved by a segment, and the key may be what names one."""
    bench.move(Mode.GRADUAL, 5000)
    assert subsets(bench, "ann", b"beta") == ({"segment:odd", "segment:mine"}, "split")


def test_log_has_no_values_of_headers_of_segments(bench: Bench) -> None:
    """A header may hold what nobody else may know."""
    subsets(bench, "secret-keeper", b"s3cret")
    assert b"s3cret" not in bench.gateway.files.access_log.read_bytes()

"""Any request is in the segments that Python says it is in, as Envoy itself notes them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.domain.routing import Mode, System
from changeover.domain.segment_matching import segments_of, texts_of
from changeover.gateway.tailer import Tailer
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.test_user_keys import Asked, Browser
from tests.support.processes import LONGEST_PAUSE, free_port, wait_for

pytestmark = pytest.mark.integration
TESTS = {
    "one": {"any_of": ["beta", "a.b|c", "é"]}, "begins": {"prefix": "be"},
    "ends": {"suffix": "ta"}, "like": {"regex": "[a-z]+-[0-9]{1,3}|beta(-x)?"},
    "any": {"regex": ".*"}, "there": {"present": True}, "gone": {"present": False},
    "others": {"any_of": ["beta"], "not": True}, "unlike": {"regex": "be.*", "not": True},
    "no_start": {"prefix": "be", "not": True},
    "listed": {"file": "users.txt"}, "unlisted": {"file": "users.txt", "not": True},
}
USERS = ["beta", "ta", "a.b|c", "é", "x,beta", "ab-12", "beta,"]
PLACES = {"h": {"header": "x-cohort"}, "c": {"cookie": "plan"}, "q": {"query": "plan"}}
SEGMENTS = {f"{where}_{name}": {**place, **test} for where, place in PLACES.items()
            for name, test in TESTS.items()}


@pytest.fixture(scope="module", params=["header", "cookie"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """A gateway that notes all segments, whose key is simply a header, or found by a script."""
    triggers = [{"name": name, "metric": "error_rate", "above": "1%", "for": "5s",
                 "action": "alert", "segment": name} for name in SEGMENTS]
    key = {"header": "x-user-id"} if request.param == "header" else {"cookie": "session"}
    folder = tmp_path_factory.mktemp("segments")
    (folder / "users.txt").write_text("\n".join(USERS))
    routing = {"listen": f"127.0.0.1:{free_port()}", "key": key, "segments": SEGMENTS}
    plan = make_plan(folder=folder, triggers=triggers, routing=routing)
    yield from start_bench(plan, folder)


values = st.sampled_from([
    b"", b"beta", b"beta-x", b"BETA", b"be", b"ta", b"ab-12", b"ab-1234", b"a.b|c", b"axb|c", b" ",
    "é".encode(), b"\xe9", b"be\xff", b"x,beta", b"beta,", b"  beta  "])
encoded = st.sampled_from([
    b"", b"beta", b"be%74a", b"ab-12", b"%C3%A9", b"%E9", b"be%FF", b"be%0Ata", b"%0d%0ax:+y",
    b"+beta+", b"%00", b"a.b%7Cc", b"be%ta"])


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Return any request: values in all places, in some, doubled, or nowhere."""
    asked = Asked()
    if draw(st.booleans()):
        pairs = [b"plan=" + each for each in draw(st.lists(encoded, max_size=2))]
        asked.path = b"/p?" + b"&".join([*draw(st.sampled_from([[], [b"xplan=1"]])), *pairs])
    asked.headers += [("x-cohort", each) for each in draw(st.lists(values, max_size=2))]
    cookies = [b"plan=" + each for each in draw(st.lists(values, max_size=2)) if b"," not in each]
    if cookies:
        asked.headers.append(("cookie", b"; ".join(cookies)))
    return asked


def is_odd(text: str) -> bool:
    """Whether a value is not UTF-8."""
    return text != text.encode("utf-8", "replace").decode()


@given(asked=st.lists(requests(), min_size=40, max_size=40))
@settings(max_examples=8, deadline=None)
def test_envoy_and_python_agree(gateway: Bench, asked: list[Asked]) -> None:
    """All segments, for each of many requests."""
    gateway.move(Mode.GRADUAL, 5_000)
    tailer, browser = Tailer(gateway.gateway.files.access_log, {}), Browser(gateway)
    tailer.read()
    entries: list = []
    for one in asked:
        browser.ask(one)
    wait_for(lambda: entries.extend(tailer.read()) or len(entries) >= len(asked), what="the log")
    for one, entry in zip(asked, entries, strict=True):
        wanted = segments_of(gateway.plan.routing.segments, one.values, one.path)
        noted = {name.removeprefix("segment:") for name in entry.subsets or ()}
        # RE2's `.*` takes some bytes that are not UTF-8: docs/gateway.md says so
        unsure = {name for name, spec in gateway.plan.routing.segments.items()
                  if spec.regex and any(is_odd(text) for text in texts_of(
                      spec, one.values, one.path))}
        assert noted - unsure == wanted - unsure, (one, sorted(noted ^ wanted))


def test_a_segment_by_a_cookie_moves_and_its_headers_stay_here(gateway: Bench) -> None:
    """Its users get the candidate, and neither system sees what the script found."""
    gateway.move(Mode.GRADUAL, 0, segments=("c_one",))
    browser = Browser(gateway)
    assert browser.ask(Asked(headers=[("cookie", b"plan=beta")]))[0] is System.CANDIDATE
    assert browser.ask(Asked(headers=[("cookie", b"plan=b")]))[0] is System.BASELINE
    connection = http.client.HTTPConnection(gateway.plan.routing.listen, timeout=LONGEST_PAUSE)
    ours = "x-changeover-in-cookie-" + b"plan".hex()
    connection.request("GET", "/", headers={ours: "beta"})
    answer = json.loads(connection.getresponse().read())
    assert answer["served_by"] == "baseline"
    assert not [name for name in answer["headers"] if name.startswith("x-changeover")]

"""Whoever answers: Envoy itself says which system a request was meant for, whatever its key is."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import Mode, System, decide
from changeover.flags.evaluate import Evaluator
from changeover.flags.explain import explain
from changeover.flags.snapshot import of_plan
from changeover.gateway.accesslog import Entry, classify, meant_for, parse_line
from changeover.plan.model import Plan
from changeover.plan.routing import KeyRule, KeySpec
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import LONGEST_PAUSE, kill, wait_for

pytestmark = pytest.mark.integration

CANDIDATE, BASELINE = System.CANDIDATE, System.BASELINE
Values = list[bytes]
KINDS = {
    "twice": [b"u2", b"v2"],
    "the same twice": [b"u1", b"u1"],
    "three times": [b"u7", b"a", b"u7"],
    "twice, one not UTF-8": [b"u1", b"\xff"],
    "not UTF-8": [b"caf\xe9"],
    "half a surrogate pair": [b"\xed\xa0\x80"],
    "invalid throughout": [b"\xff\xfe\x80\xc3"],
    "UTF-8": ["Zoë".encode()],
    "joined by a comma": [b"u2,v2"],
    "blanks around": [b"  u2"],
    "a tab inside": [b"u\t2"],
    "like JSON": [b'{"u":"baseline"} \\ud800'],
    "long": [b"k" * 30_000],
}
"""What the key's header has, as it is sent; users of a kind differ by what is appended."""
USERS = 8
_ids = (f"request-{number}" for number in itertools.count())


def users(kind: str) -> list[Values]:
    """Return the header's values of some users of a kind."""
    return [[*KINDS[kind][:-1], KINDS[kind][-1] + b"%d" % number] for number in range(USERS)]


def ask(bench: Bench, values: Values, also: bytes = b"", method: str = "GET") -> tuple[bytes, str]:
    """Return the answer to a request, and the request's id.

    Args:
        bench: The gateway and its systems.
        values: Values of the key's header.
        also: Further header lines.
        method: The request's method.
    """
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    name, number = (bench.plan.routing.plain_header or "").encode(), next(_ids)
    keys = b"".join(b"%b: %b\r\n" % (name, value) for value in values)
    head = (b"%b / HTTP/1.1\r\nhost: a\r\nx-request-id: %b\r\nx-item: %b\r\ncontent-length: 0\r\n"
            % (method.encode(), number.encode(), number.encode()))
    with socket.create_connection((host, int(port)), LONGEST_PAUSE) as connection:
        connection.sendall(head + keys + (also or b"connection: close\r\n") + b"\r\n")
        if b"hop: by" in also:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b"")), number


def logged(bench: Bench, number: str) -> Entry:
    """Return a request as the observer reads it from the access log."""
    wanted = f'"i":"{number}"'.encode()

    def found() -> Entry | None:
        lines = bench.gateway.files.access_log.read_bytes().splitlines()
        return next((parse_line(line, {}) for line in lines if wanted in line), None)

    entry = wait_for(found, what=f"the log's line of {number}")
    assert isinstance(entry, Entry)
    return entry


def send(bench: Bench, values: Values, *, also: bytes = b"") -> Entry:
    """Send a request and return it as the access log has it."""
    return logged(bench, ask(bench, values, also)[1])


def send_all(bench: Bench, everyone: list[Values], method: str = "GET") -> list[Entry]:
    """Send one request of each user and return all as the access log has them."""
    return [logged(bench, number)
            for number in [ask(bench, values, b"", method)[1] for values in everyone]]


def by_answer(bench: Bench, values: Values) -> System:
    """Return which system a user is given while both are well, by the answer's body alone."""
    body = ask(bench, values)[0].rpartition(b"\r\n")[2]
    return System(json.loads(body)["served_by"])


def fault(bench: Bench, kind: str, system: str) -> AbstractContextManager[None]:
    """Have a system misbehave meanwhile, and wait until it is given its share again."""

    @contextlib.contextmanager
    def during() -> Iterator[None]:
        bench.fault(kind, system)
        yield
        bench.fault("none", system)
        wait_for(lambda: {by_answer(bench, one) for one in users("UTF-8")} == {*System},
                 what="both systems")

    return during()


@contextlib.contextmanager
def held_back(bench: Bench) -> Iterator[None]:
    """Have back-pressure withhold the candidate's users meanwhile."""
    withhold = partial(bench.gateway.withhold, bench.plan, bench.state, timeout=LONGEST_PAUSE)
    assert withhold({"withheld": True})
    yield
    assert withhold({"withheld": False})


def plan_of(**routing: object) -> Plan:
    """Return a plan whose routing differs by some fields."""
    plan = make_plan()
    return plan.model_copy(update={"routing": plan.routing.model_copy(update=routing)})


@pytest.fixture(scope="module", params=[None, "s26"], ids=["plain", "salted"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """Half of the users at the candidate, with and without a salt."""
    plan = plan_of(salt=request.param)
    for bench in start_bench(plan, tmp_path_factory.mktemp("meant")):
        bench.move(Mode.GRADUAL, 5_000)
        yield bench


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_answer_counts_for_who_gave_it_whatever_the_key_is(
    gateway: Bench, kind: str
) -> None:
    """With both systems well nobody has an error, and each request is its server's."""
    for entry in send_all(gateway, users(kind)):
        found = classify(entry)
        assert found is not None
        assert (found.system, found.error) == (entry.served_by, None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rule_in_code_says_what_envoy_does(gateway: Bench, kind: str) -> None:
    """Routing, flags in process and the explanation agree with the gateway, for all values and
    bytes of a key."""
    plan, state = gateway.plan, gateway.state
    evaluator, salt = Evaluator(of_plan(plan, state)), plan.routing.salt or ""
    for values in users(kind):
        system = by_answer(gateway, values)
        texts = [value.decode("utf-8", "surrogateescape") for value in values]
        one = [values[0], texts[0]] if len(values) == 1 else []
        for key in (values, texts, tuple(texts), *one):
            assert decide(state, key, rule=KeyRule(salt)) is system
            assert evaluator.value("changeover.system", "", key) == system
            if kind != "long":  # which `explain` refuses
                assert explain(evaluator, key)["system"] == system


@pytest.mark.parametrize(("values", "is_inside"), [
    ([b"beta"], True), ([b" beta\t"], True), ([b"beta", b"gamma"], True),
    ([b"gamma", b"beta"], True), ([b"\xff", b"a.b|c"], True), ([b"", b"beta"], True),
    ([b"beta,gamma"], False),
    ([b"Beta"], False), ([b"\xff"], False), ([b"beta\xe9"], False), ([b""], False),
], ids=repr)
def test_a_segment_is_told_by_any_value_of_its_header(
    gateway: Bench, values: Values, is_inside: bool
) -> None:
    """A segment's header that comes twice, or is not UTF-8: gateway and flags say the same."""
    state = replace(gateway.state, weight=1, segments=("beta",), version=gateway.state.version + 1)
    gateway.gateway.publish(gateway.plan, state)
    also = b"".join(b"x-cohort: %b\r\n" % value for value in values)
    entry = send(gateway, [b"u1"], also=also + b"connection: close\r\n")
    gateway.move(Mode.GRADUAL, 5_000)
    gateway.move(Mode.GRADUAL, 5_000)
    system = CANDIDATE if is_inside else BASELINE
    assert (meant_for(entry), entry.served_by) == (system, system)
    context = {"X-Cohort": [value.decode("utf-8", "surrogateescape") for value in values]}
    evaluator = Evaluator(of_plan(gateway.plan, state))
    assert evaluator.value("changeover.system", "", "u1", context) == system


def test_users_of_a_segment_that_was_rolled_back_are_meant_for_the_baseline(
    gateway: Bench
) -> None:
    """Whatever their bucket says; everyone else stays, and flags say the same."""
    version = gateway.state.version + 1
    state = replace(gateway.state, weight=9_999, kept=("beta",), version=version)
    gateway.gateway.publish(gateway.plan, state)
    found = [send(gateway, [b"u1"], also=also + b"connection: close\r\n")
             for also in (b"x-cohort: beta\r\n", b"")]
    gateway.move(Mode.GRADUAL, 5_000)
    gateway.move(Mode.GRADUAL, 5_000)
    assert [meant_for(entry) for entry in found] == [BASELINE, CANDIDATE]
    evaluator = Evaluator(of_plan(gateway.plan, state))
    for context, system in (({"x-cohort": "beta"}, BASELINE), ({}, CANDIDATE)):
        assert evaluator.value("changeover.system", "", "u1", context) == system


SITUATIONS = {
    "candidate answers 503": lambda bench: fault(bench, "503", "candidate"),
    "baseline answers 503": lambda bench: fault(bench, "503", "baseline"),
    "back-pressure": held_back,
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_who_was_meant_is_known_when_another_one_answers(
    gateway: Bench, situation: str
) -> None:
    """Second attempts, ejections and back-pressure change who answers, never who was meant."""
    everyone = [values for kind in KINDS for values in users(kind)[:3]]
    before = [by_answer(gateway, values) for values in everyone]
    assert {*before} == {*System}
    with SITUATIONS[situation](gateway):
        entries = send_all(gateway, everyone)
    assert [meant_for(entry) for entry in entries] == before
    errors = {system: {found.error for entry in entries
                       if (found := classify(entry)) and found.system is system}
              for system in System}
    if situation == "baseline answers 503":
        assert errors[BASELINE] == {ErrorClass.STATUS_5XX}
    else:
        assert errors == {BASELINE: {None}, CANDIDATE: {ErrorClass.SAVED}}


def test_requests_that_nobody_answers_are_failures_of_who_was_meant(bench: Bench) -> None:
    """With both systems dead each request counts against the one that it was meant for."""
    bench.move(Mode.GRADUAL, 5_000)
    everyone = [values for kind in KINDS for values in users(kind)[:2]]
    before = [by_answer(bench, values) for values in everyone]
    for name in System:
        kill(bench.processes[name])
    for method in ("GET", "POST"):
        found = [classify(entry) for entry in send_all(bench, everyone, method)]
        assert [one.system for one in found if one] == before
        assert {one.error for one in found if one} == {ErrorClass.CONNECT}


def test_a_user_who_leaves_is_nobodys_failure_and_still_meant_for_somebody(bench: Bench) -> None:
    """A client that goes before the answer is counted for the system that had to answer."""
    bench.move(Mode.GRADUAL, 5_000)
    before = [by_answer(bench, values) for values in users("twice")]
    for name in System:
        bench.fault("hang", name)
    for number, values in enumerate(users("twice")):
        _ask_and_leave(bench, f"gone-{number}", values)
        found = classify(logged(bench, f"gone-{number}"))
        assert found is not None
        assert (found.system, found.error) == (before[number], None)


def _ask_and_leave(bench: Bench, number: str, values: Values) -> None:
    """Close the connection as soon as a system has the request."""
    host, port = bench.plan.routing.listen.rsplit(":", 1)
    lines = b"".join(b"x-user-id: %b\r\n" % value for value in values)
    with socket.create_connection((host, int(port)), LONGEST_PAUSE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n"
                           b"x-request-id: %b\r\n%b\r\n" % (number.encode(), lines))
        active = r"^cluster[.](baseline|candidate)[.]upstream_rq_active$"
        wait_for(lambda: sum(bench.gateway.admin.counters(active).values()) == 1,
                 what="a request under way")


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Bench]:
    """Half of the users at a candidate that takes one request at a time."""
    plan = make_plan()
    candidate = plan.systems.candidate.model_copy(update={"concurrency": 1})
    systems = plan.systems.model_copy(update={"candidate": candidate})
    for bench in start_bench(plan.model_copy(update={"systems": systems}), tmp_path):
        bench.move(Mode.GRADUAL, 5_000)
        yield bench


def test_what_a_full_candidate_does_not_take_is_meant_for_it(limited: Bench) -> None:
    """Above the candidate's concurrency the baseline answers, and the log says in whose place."""
    meant = [one for one in users("not UTF-8") + users("twice")
             if by_answer(limited, one) is CANDIDATE]
    limited.fault("slow")
    with ThreadPoolExecutor(len(meant)) as pool:
        entries = list(pool.map(lambda one: send(limited, one), meant))
    assert {meant_for(entry) for entry in entries} == {CANDIDATE}
    saved = [entry for entry in entries if entry.served_by is BASELINE]
    assert saved
    assert {found.error for entry in saved if (found := classify(entry))} == {ErrorClass.SAVED}


@pytest.mark.parametrize("values", [
    [], [b""], [b"u1", b""], [b"", b"u1"], [b" \t "], [b"", b""],
], ids=["none", "empty", "last empty", "first empty", "blanks", "two empty"])
def test_a_key_without_a_value_takes_no_part(gateway: Bench, values: Values) -> None:
    """One empty value is enough: the request is the baseline's, as one without a key."""
    for _ in range(4):
        entry = send(gateway, values)
        assert (meant_for(entry), entry.served_by) == (BASELINE, BASELINE)


def test_a_key_that_the_connection_header_takes_away_is_none(gateway: Bench) -> None:
    """A client that names the key's header hop by hop sends none, for Envoy and for the log."""
    for number in range(USERS):
        also = b"connection: close, x-user-id\r\nhop: by hop\r\n"
        entry = send(gateway, [b"hop-%d" % number], also=also)
        assert (meant_for(entry), entry.served_by, entry.key) == (BASELINE, BASELINE, None)


@pytest.mark.parametrize("header", ["user_id", "authorization", "cookie", "user-agent"])
def test_any_header_can_be_the_key(header: str, tmp_path: Path) -> None:
    """Underscores and headers that Envoy itself knows are keys as all others are."""
    plan = plan_of(key=(KeySpec(header=header),))
    for bench in start_bench(plan, tmp_path):
        bench.move(Mode.GRADUAL, 5_000)
        everyone = [one for kind in ("UTF-8", "not UTF-8", "twice") for one in users(kind)]
        entries = send_all(bench, everyone)
        assert {entry.chosen for entry in entries} == {*System}
        for entry in entries:
            found = classify(entry)
            assert found is not None
            assert (found.system, found.error) == (entry.served_by, None)

"""Lines of the access log: parsed, judged, and followed over rotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry, Outcome, classify, meant_for, parse_line
from changeover.gateway.tailer import Tailer

LINE = {
    "t": "1700000000.250000", "us": 1500, "ms": 1, "s": 200, "f": "-", "r": "split:5000:safe",
    "c": "baseline", "h": "127.0.0.1:1", "n": 1, "k": "user-1", "m": "GET", "i": "id",
}
CANDIDATE, BASELINE = System.CANDIDATE, System.BASELINE


def _line(**changes: object) -> bytes:
    return json.dumps({**LINE, **changes}).encode()


def _entry(**changes: object) -> Entry:
    entry = parse_line(_line(**changes), {})
    assert entry is not None
    return entry


def test_line_becomes_an_entry() -> None:
    """Time is the request's end, duration is exact."""
    assert _entry() == Entry(
        end=1700000000.2515, duration_us=1500, status=200, flags=frozenset(),
        route="split:5000:safe", key="user-1", served_by=BASELINE, attempts=1,
    )


def test_duration_falls_back_to_milliseconds() -> None:
    """An answer that broke off has no last byte; its duration is known all the same."""
    assert _entry(us=None, ms=7).duration_us == 7000


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b"null", b'"text"', b"{}",
                                  _line(t="x"), _line(s=None), _line(n="x"), b"\xff\xfe",
                                  _line(f=5), _line(e=5), _line(u=[1]), _line(t="1e999"),
                                  b'{"t":1e999}'])
def test_line_that_is_not_one_is_left_out(line: bytes) -> None:
    """A damaged line is no request and no crash."""
    assert parse_line(line, {}) is None


@given(st.binary(max_size=200))
def test_parsing_never_fails(line: bytes) -> None:
    """Whatever stands in the file, reading goes on."""
    parse_line(line, {})


@given(key=st.text(max_size=30), served=st.sampled_from([None, CANDIDATE, BASELINE]),
       weight=st.integers(1, 9_999))
@pytest.mark.parametrize(("chosen", "meant"), [
    ("baseline", BASELINE), ("candidate_or_baseline", CANDIDATE), ("baseline_instead", CANDIDATE),
])
def test_a_split_is_what_envoy_says_whatever_the_key_and_the_answer(
    chosen: str, meant: System, key: str, served: System | None, weight: int
) -> None:
    """The cluster that Envoy chose says who was meant; the key's text says nothing."""
    entry = _entry(u=chosen, k=key, c=served, h=served and "127.0.0.1:1",
                   r=f"split:{weight}:safe")
    assert meant_for(entry) is meant


@pytest.mark.parametrize("served", [None, CANDIDATE, BASELINE])
@pytest.mark.parametrize("chosen", [{}, {"u": None}, {"u": "-"}, {"u": "shadow"}, {"u": [1]}])
def test_a_split_that_says_no_choice_counts_for_who_answered(
    chosen: dict[str, object], served: System | None
) -> None:
    """Lines of an Envoy that was started before it said so never make a failure of a success."""
    parsed = parse_line(_line(**{"c": served, "h": served and "127.0.0.1:1"}, **chosen), {})
    if parsed is not None:
        found = classify(parsed)
        assert (found and (found.system, found.error)) == (served and (served, None))


@pytest.mark.parametrize(("flags", "is_client_error"), [("SI", False), ("-", True)])
def test_408_of_the_gateway_is_no_error_of_a_client(flags: str, is_client_error: bool) -> None:
    """Whoever is slow to send says nothing about a system; a system's own 408 does."""
    outcome = classify(_entry(u="candidate_or_baseline", c="candidate", s=408, f=flags))
    assert outcome is not None
    assert outcome.is_client_error is is_client_error


CASES = [
    pytest.param({"c": "candidate"}, None, False, id="good"),
    pytest.param({}, ErrorClass.SAVED, False, id="ejected-baseline-served"),
    pytest.param({"n": 2}, ErrorClass.SAVED, False, id="retried-at-baseline"),
    pytest.param({"n": 2, "s": 500}, ErrorClass.STATUS_5XX, True, id="both-failed"),
    pytest.param({"c": "candidate", "s": 500}, ErrorClass.STATUS_5XX, True, id="5xx"),
    pytest.param({"c": "candidate", "s": 504, "f": "UT"}, ErrorClass.TIMEOUT, True, id="timeout"),
    pytest.param({"c": "candidate", "s": 504, "f": "UT,UO"}, ErrorClass.TIMEOUT, True,
                 id="too-slow-and-not-asked-again"),
    pytest.param({"c": "candidate", "s": 408, "f": "SI"}, None, False, id="request-never-ended"),
    pytest.param({"c": "candidate", "s": 503, "f": "UO"}, ErrorClass.OVERFLOW, True, id="overflow"),
    pytest.param({"c": "candidate", "s": 503, "f": "UF,URX"}, ErrorClass.CONNECT, True, id="conn"),
    pytest.param({"c": "candidate", "s": 503, "e": "UF"}, ErrorClass.CONNECT, True, id="hop"),
    pytest.param({"c": None, "h": None, "s": 503, "f": "UH"}, ErrorClass.CONNECT, True, id="host"),
    pytest.param({"c": "candidate", "s": 503, "f": "UC"}, ErrorClass.RESET, True, id="reset"),
    pytest.param({"c": "candidate", "f": "UPE"}, ErrorClass.RESET, True, id="broken-off"),
    pytest.param({"c": "candidate", "f": "UT"}, ErrorClass.TIMEOUT, True, id="cut-at-timeout"),
    pytest.param({"c": "candidate", "s": 0, "f": "DC"}, None, False, id="user-left"),
    pytest.param({"c": "candidate", "f": "DC,UC"}, None, False, id="user-left-midway"),
    pytest.param({"c": "candidate", "s": 0}, ErrorClass.NO_ANSWER, True, id="no-answer"),
    pytest.param({"c": "candidate", "s": 101, "f": "SI"}, None, False, id="idle-websocket"),
    pytest.param({"c": "candidate", "s": 101, "f": "UC"}, None, False, id="ws-ended-by-system"),
    pytest.param({"c": "candidate", "s": 101, "f": "UR"}, ErrorClass.RESET, True, id="ws-reset"),
]


@pytest.mark.parametrize(("changes", "error", "is_user_error"), CASES)
def test_failure_is_the_candidates_with_its_class(
    changes: dict[str, object], error: ErrorClass | None, is_user_error: bool
) -> None:
    """Each way that a request meant for the candidate ends has one class."""
    entry = _entry(r="candidate:10000:safe", **changes)
    assert classify(entry) == Outcome(CANDIDATE, error, is_user_error, False)


def test_baselines_own_retry_is_no_error() -> None:
    """Only the candidate has somebody behind it whose answer would hide its failure."""
    assert classify(_entry(r="baseline:0:safe", n=2)) == Outcome(BASELINE, None, False, False)


def test_4xx_is_the_clients_error() -> None:
    """A refused request says nothing about the system's health."""
    found = classify(_entry(r="baseline:0:safe", s=404))
    assert found == Outcome(BASELINE, None, False, True)


@pytest.mark.parametrize("route", ["maintenance:0:all", "", "unknown:1:safe"])
def test_answers_of_no_system_are_not_counted(route: str) -> None:
    """Maintenance and requests that matched nothing belong to nobody."""
    assert classify(_entry(r=route, s=503)) is None


def test_split_is_judged_by_the_choice_not_by_who_served() -> None:
    """The baseline's answer to a candidate's user is the candidate's failure."""
    instead, own = _entry(u="baseline_instead", n=2), _entry(u="baseline")
    ejected = _entry(u="candidate_or_baseline")
    assert classify(instead) == Outcome(CANDIDATE, ErrorClass.SAVED, False, False)
    assert classify(ejected) == Outcome(CANDIDATE, ErrorClass.SAVED, False, False)
    assert classify(own) == Outcome(BASELINE, None, False, False)


@pytest.mark.parametrize(("text", "read", "lost"), [
    (_line(k="1") + b"\n" + _line(k="2") + b"\n", ["1", "2"], 0),
    (_line(k="1")[:40] + _line(k="2") + b"\n", ["2"], 1),
    (_line(k="1")[:-1] + _line(k="2")[:9] + _line(k="3") + b"\n", ["3"], 2),
    (_line(k="1")[:40] + b"\n" + _line(k="2") + b"\n", ["2"], 1),
    (_line(k="caf!").replace(b"!", b"\xe9") + b"\n", ["caf\ufffd"], 0),
    (_line(k='{"t":1') + b"\n\n" + _line(k="2") + b"\n", ['{"t":1', "2"], 0),
    (b"\0" * 40 + _line(k="2") + b"\n", ["2"], 1),
], ids=["whole", "run into", "twice run into", "cut", "not UTF-8", "JSON in a key", "zeros"])
def test_no_line_that_says_enough_is_lost_and_others_are_counted(
    text: bytes, read: list[str], lost: int, tmp_path: Path
) -> None:
    """A crash or a full disk costs the lines that it cut, and it is known how many."""
    log = tmp_path / "access.log"
    log.write_bytes(text)
    tailer = Tailer(log, {})
    assert ([entry.key for entry in tailer.read()], tailer.unreadable) == (read, lost)


def test_tailer_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    """A half-written line is read once, when it is whole."""
    log = tmp_path / "access.log"
    tailer = Tailer(log, {})
    assert tailer.read() == []
    log.write_bytes(_line() + b"\n" + _line()[:20])
    assert len(tailer.read()) == 1
    with log.open("ab") as file:
        file.write(_line()[20:] + b"\n")
    assert (len(tailer.read()), len(tailer.read())) == (1, 0)


def test_tailer_reads_the_old_file_to_its_end_after_rotation(tmp_path: Path) -> None:
    """Lines written before and after the rename, and into the new file, are all read once."""
    log = tmp_path / "access.log"
    tailer = Tailer(log, {})
    log.write_bytes((_line(k="1") + b"\n") * 2)
    tailer.read()
    with log.open("ab") as old:
        assert tailer.rotate(10)
        old.write(_line(k="2") + b"\n")
        old.flush()
        assert [entry.key for entry in tailer.read()] == ["2"]
        old.write(_line(k="3") + b"\n")
    log.write_bytes(_line(k="4") + b"\n")
    assert [entry.key for entry in tailer.read()] == ["3", "4"]


def test_tailer_goes_on_where_another_one_stopped(tmp_path: Path) -> None:
    """A restarted observer reads no line twice and leaves none out."""
    log = tmp_path / "access.log"
    log.write_bytes(_line(k="1") + b"\n")
    first = Tailer(log, {})
    first.read()
    with log.open("ab") as file:
        file.write(_line(k="2") + b"\n")
    assert [entry.key for entry in Tailer(log, {}, position=first.position).read()] == ["2"]


def test_tailer_reads_a_small_file_without_rotating(tmp_path: Path) -> None:
    """Rotation waits for the size, and needs a file."""
    tailer = Tailer(tmp_path / "access.log", {})
    assert not tailer.rotate(0)
    (tmp_path / "access.log").write_bytes(b"x")
    assert not tailer.rotate(10)

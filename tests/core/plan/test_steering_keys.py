"""Wrong values of the keys with which people steer: one message, its line, what is allowed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.errors import InvalidInput, InvalidPlan
from changeover.plan.load import parse_plan
from changeover.plan.until import parse_until
from tests.core.plan.test_load import GOOD, problems

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
DAYS = "allowed are mon, tue, wed, thu, fri, sat, sun, ranges as mon-thu, and several as"
HOURS, STEPS = "allowed are 08-16 and 08:30-16:15", "in steps of 5 minutes"
ZONES = "allowed are names as Europe/Warsaw and UTC"
DURATIONS = "allowed are durations such as 500ms, 30s, 5m, 48h, 7d or 1h30m"
KEYS = "allowed are days, hours, zone"
WINDOWS = [
    ("mon", "", "must be a list"), ("{days: mon, zone: UTC}", "", "must be a list"),
    ("null", "", "must be a list"), ("[mon]", "[0]", "must be a mapping"),
    ("[{zone: UTC}]", "[0].days", "is required but missing"),
    ("[{days: mon}]", "[0].zone", "is required but missing"),
    ("[{days: mon, zone: UTC, until: 5}]", "[0].until", KEYS),
    *((f"[{{days: {days}, zone: UTC}}]", "[0].days", DAYS) for days in (
        "[]", "''", "3", "null", "true", "[[mon]]", "{a: b}", "mon-thu-fri", "funday", "mon;tue")),
    *((f"[{{days: mon, hours: {hours}, zone: UTC}}]", "[0].hours", HOURS) for hours in (
        "8", "[8, 16]", "null", "''", "'08:75-09'", "8am", "'08-16-20'", "'٠٨-١٦'", "-1-5")),
    *((f"[{{days: mon, hours: '{hours}', zone: UTC}}]", "[0].hours", STEPS) for hours in (
        "25-26", "24-08", "08-08", "08:03-16", "08-24:05")),
    *((f"[{{days: mon, zone: {zone}}}]", "[0].zone", ZONES) for zone in (
        "5", "''", "null", "/etc/passwd", "../../etc/passwd", "[UTC]", "Europe", "Warsaw", "MEZ")),
]
PATIENCE = [
    *((f"{key}: {value}", f".{key}", DURATIONS) for key in ("remind", "escalate") for value in (
        "x", "-1h", "null", "true", "4", "[4h]", "''", "1e9d", "never")),
    ("escalate: 36501d", ".escalate", "is too long; the limit is 36500d"),
    ("reminds: 4h", ".reminds", "did you mean 'remind'?"),
]
APPROVALS = [
    *((f"{{approvers: {value}}}", ".approvers", "must be a whole number") for value in (
        "x", "null", "1.5", "true", "'2'")),
    *((f"{{approvers: {value}}}", ".approvers", "greater than or equal to 1") for value in (
        "0", "-1")),
    ("{approvers: 11}", ".approvers", "less than or equal to 10"),
    ("{approver: 1}", ".approver", "did you mean 'approvers'?"),
    *((value, "", "must be a mapping") for value in ("2", "[]", "true", "ann")),
]


@pytest.mark.parametrize(("value", "place", "said"), WINDOWS)
@pytest.mark.parametrize(("line", "part"), [
    (17, "allowed"), (14, "phases[2].allowed"), (13, "phases[1].stages[0].allowed")])
def test_a_wrong_window_is_refused_at_its_line(
    value: str, place: str, said: str, line: int, part: str
) -> None:
    """In the plan, a phase, a stage."""
    text = f"{GOOD}allowed: {value}\n"
    if part.startswith("phases[2]"):
        text = GOOD.replace("phase: full,", f"phase: full, allowed: {value},")
    if "stages" in part:
        text = GOOD.replace("percent: 10,", f"percent: 10, allowed: {value},")
    (problem,) = problems(text)
    assert problem.startswith(f"line {line}, {part}{place}: ")
    assert said in problem


@pytest.mark.parametrize(("value", "place", "said"), PATIENCE)
def test_wrong_patience_is_refused_at_its_line(value: str, place: str, said: str) -> None:
    """How long people are waited for before they are reminded, and before others are told."""
    (problem,) = problems(f"{GOOD}patience: {{{value}}}\n")
    assert problem.startswith(f"line 17, patience{place}: ")
    assert said in problem


@pytest.mark.parametrize(("value", "place", "said"), APPROVALS)
def test_a_wrong_approval_is_refused_at_its_line(value: str, place: str, said: str) -> None:
    """Also `true`, which is no number of people."""
    (problem,) = problems(GOOD.replace("{approvers: 2}", value))
    assert problem.startswith(f"line 14, phases[2].approval{place}: ")
    assert said in problem


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(
    ["mon", "mon-thu", "08-16", "22:30-06", "UTC", "Europe/Warsaw", "4h", "0s"])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["days", "hours", "zone", "remind", "approvers"]), inner, max_size=3),
    max_leaves=6)


@settings(max_examples=25)
@given(allowed=anything, patience=anything, approval=anything)
def test_whatever_is_written_a_plan_is_read_or_refused(
    allowed: object, patience: object, approval: object
) -> None:
    """Nothing else ever happens."""
    text = GOOD.replace("{approvers: 2}", json.dumps(approval))
    text += f"allowed: {json.dumps(allowed)}\npatience: {json.dumps(patience)}\n"
    try:
        parse_plan(text, "own.yaml")
    except InvalidPlan as refused:
        assert all(each.startswith("line ") for each in refused.problems)


WRONG_ENDS = [
    "", "  ", "yesterday", "2099-01-01", "2099-01-01T08:00", "2099-01-01 08:00 Europe/Nowhere",
    "2099-01-01 08:00 utc", "2099-13-01 08:00 UTC", "08:00 UTC", "-2d", "2d3x", "99999999d",
    "9999-12-31T23:59:59-12:00", "9999-12-31 23:59 America/New_York", "a/b", "x ../../etc/passwd",
    "0001-01-01 00:00 Asia/Tokyo", "2099-01-01T08:00+01:00 Europe/Warsaw",
]


@pytest.mark.parametrize("text", WRONG_ENDS)
def test_a_freeze_until_no_moment_is_refused_with_the_forms_there_are(text: str) -> None:
    """Also one without a zone, and one that says two of them."""
    with pytest.raises(InvalidInput, match="says no end") as refused:
        parse_until(text, NOW, where="--until")
    assert "2026-12-27 08:00 Europe/Warsaw" in refused.value.allowed


@pytest.mark.parametrize("text", ["2026-12-01T09:00Z", "2020-01-01 08:00 UTC", "0s"])
def test_a_freeze_until_a_moment_that_is_over_is_refused(text: str) -> None:
    """Also until this very moment."""
    with pytest.raises(InvalidInput, match="is over already"):
        parse_until(text, NOW, where="--until")


@pytest.mark.parametrize(("text", "end"), [
    ("2d", "2026-12-03T09:00Z"), ("2026-12-27T08:00+01:00", "2026-12-27T07:00Z"),
    ("2026-12-27 08:00 Europe/Warsaw", "2026-12-27T07:00Z"),
    ("2027-07-01 08:00 Europe/Warsaw", "2027-07-01T06:00Z"),
    (" 2026-12-27 08:00 UTC ", "2026-12-27T08:00Z"),
])
def test_the_end_of_a_freeze_is_a_duration_or_a_time_with_its_zone(text: str, end: str) -> None:
    """By the clock on the wall there, also in summer."""
    assert parse_until(text, NOW, where="--until") == datetime.fromisoformat(end)


like_times = st.from_regex(
    r"[0-9]{1,5}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-5][0-9]"
    r"(Z|[+-][0-2][0-9]:[0-5][0-9]| Europe/Warsaw| UTC)", fullmatch=True)


@given(st.text() | like_times)
def test_whatever_is_said_it_is_an_end_to_come_or_refused(text: str) -> None:
    """Nothing else ever happens."""
    try:
        assert parse_until(text, NOW, where="--until") > NOW
    except InvalidInput as refused:
        assert refused.where == "--until"

"""Values of plans mean one thing, whichever version of YAML a reader has in mind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from changeover.errors import InvalidInput, InvalidPlan
from changeover.plan import yaml12
from changeover.plan.document import read
from changeover.plan.load import load_plan, parse_plan
from tests.core.plan.test_load import GOOD, ROOT, problems

DOUBTFUL = {
    "no": 'no is false in YAML 1.1 and text in 1.2; write false, or "no" with quotes for text',
    "NO": 'write false, or "NO" with quotes for text',
    "on": "on is true in YAML 1.1 and text in 1.2",
    "Off": "Off is false in YAML 1.1 and text in 1.2",
    "yes": "yes is true in YAML 1.1 and text in 1.2",
    "1e3": '1e3 is text in YAML 1.1 and 1000.0 in 1.2; write 1000.0, or "1e3" with quotes for text',
    "-.5": "write -0.5, or",
    "010": "010 is 8 in YAML 1.1 and 10 in 1.2; write 10 or 8, or",
    "-010": "write -10 or -8, or",
    "08": "08 is text in YAML 1.1 and 8 in 1.2",
    "0777": "0777 is 511 in YAML 1.1 and 777 in 1.2",
    "0o17": "write 15, or",
    "12:30": 'write 750, or "12:30" with quotes for text',
    "1:30:00.5": "1:30:00.5 is 5400.5 in YAML 1.1 and text in 1.2",
    "0b11": "write 3, or",
    "1_000": "write 1000, or",
    "1_0.5": "write 10.5, or",
    "0x1_F": "write 31, or",
}
CLEAR: dict[str, Any] = {
    "true": True, "FALSE": False, "null": None, "~": None, "": None, "7": 7, "-7": -7, "0": 0,
    "0x1F": 31, "1.5": 1.5, "1.5e+3": 1500.0, ".5": 0.5, "1.": 1.0, "text": "text", "y": "y",
    "n": "n", "2026-03-01": "2026-03-01", "5s": "5s", "0.1%": "0.1%",
    "127.0.0.1:80": "127.0.0.1:80",
    "1.2.3": "1.2.3", "e3": "e3", "=": "=", "-": "-", "+": "+", ".": ".", "1h30m": "1h30m",
}


def document(text: str) -> dict[str, Any]:
    """Return what a text is read as."""
    return read(text, "own.yaml")[0]


@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_two_versions_read_differently_is_refused_with_its_line(text: str) -> None:
    """Nobody can know which of the two was meant; the sentence says how to write each."""
    with pytest.raises(InvalidPlan) as refused:
        document(f"a: 1\nflags:\n  country: [{text}, DE]\n")
    assert refused.value.problems == [refused.value.problems[0]]
    assert refused.value.problems[0].startswith("line 3, flags.country[0]: ")
    assert DOUBTFUL[text] in refused.value.problems[0]


@pytest.mark.parametrize("text", DOUBTFUL)
def test_with_quotes_it_is_text(text: str) -> None:
    """What the sentence proposes is taken."""
    assert document(f'a: ["{text}", \'{text}\']') == {"a": [text, text]}


@pytest.mark.parametrize("text", [text for text in CLEAR if text not in {"-", "="}])
def test_what_is_clear_is_read_by_the_core_schema(text: str) -> None:
    """Dates stay text, which is what 1.2 makes of them and what a person sees."""
    found = document(f"a: {text}")["a"]
    assert (found, type(found)) == (CLEAR[text], type(CLEAR[text]))


def test_names_are_text_as_they_are_written() -> None:
    """A flag may be called `on`, and a country `NO`."""
    assert document("on: 1\nNO: 2\n010: 3\n1e3: 4\n") == {"on": 1, "NO": 2, "010": 3, "1e3": 4}


@given(st.text("0123456789+-._:eExobnyYNfaltruTnOsi ", min_size=1, max_size=8))
def test_what_is_taken_is_what_another_reader_takes(text: str) -> None:
    """A library of its own for YAML 1.2, and one for 1.1, read the same value, or it is refused.

    Dates aside: both libraries make objects of them, the core schema has none.
    """
    source = f"a: [{text}]"
    try:
        ours = document(source)
        theirs = YAML(typ="safe", pure=True).load(source)
        old = yaml.safe_load(source)
    except (InvalidPlan, ValueError, yaml.YAMLError, YAMLError):
        return
    if ours["a"] and not isinstance(ours["a"][0], str | dict | list):
        assert ours == old == theirs


@pytest.mark.parametrize("text", [
    "true", "1e3", "no", "010", "12:30", "2026-03-01", "=", "<<", "1_000", "~", "", ".nan",
    "0o7", "- a", "a: b", "#", "caf\u00e9", "\U0001f600", "line\nend", "'", '"', "0x1", "08",
    "-.5", "y", "1:2:3.4"])
def test_what_we_write_is_read_back_by_every_version(text: str) -> None:
    """A report's plan, and a flag that is shown, may be copied into a plan."""
    value = {"flag": {"variants": [text, {text or "x": 1}]}, "n": [1, 1.5, 1e300, True, None]}
    written = yaml12.dump(value)
    assert document(written) == value
    assert yaml.safe_load(written) == value
    assert YAML(typ="safe", pure=True).load(written) == value


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1.0e+999", "+.INF", ".NaN"])
@pytest.mark.parametrize("place", [
    "triggers: [{name: down, metric: up, below: %s, for: 5s, action: rollback}]",
    "flags: {f: {rules: [{when: {age: {at_least: %s}}, variant: enabled}]}}",
    "extra: {deep: [%s]}",
])
def test_numbers_are_finite_everywhere(place: str, number: str) -> None:
    """Nothing is below NaN, and everything below infinity: such a bound never or always holds."""
    text = GOOD.split("triggers:")[0] + place % number
    assert any(problem.startswith("line 15, ") and "allowed are finite numbers" in problem
               for problem in problems(text)), problems(text)


@pytest.mark.parametrize("value", ['"nan"', '"inf"', "'-Infinity'"])
def test_no_number_is_infinite_as_text_either(value: str) -> None:
    """What a library would take for a number by its spelling is refused, too."""
    gate = GOOD.replace("below: 1%", f"ratio_to_baseline: {value}")
    assert any("line 10, gates.slo[0]" in problem for problem in problems(gate))


@pytest.mark.parametrize(("text", "expected"), [
    ("a: !!binary aGk=\n", "line 1, a: the type binary is not allowed"),
    ("a: !!set {b}\n", "the type set is not allowed"),
    ("a: !!python/object:os.system x\n", "is not allowed"),
    ("a: !!int 1.5\n", "'1.5' is not of the type int"),
    ('a: "\\0"\n', "contains an invalid character"),
    ("a: b\u2028c\n", "U+2028 ends a line in YAML 1.1"),
    (f"a: {'9' * 5000}\n", "a number of 5000 digits is too long"),
    ("a: &x [*x]\n", "levels"),
    ("a: [1\n", "not readable as YAML"),
    ("a: b\n---\nc: d\n", "contains 2 documents"),
])
def test_other_doubtful_documents_are_refused(text: str, expected: str) -> None:
    """One clear sentence each, and never another error."""
    with pytest.raises(InvalidPlan) as refused:
        document(text)
    assert expected in refused.value.problems[0]


def test_parts_are_shared_by_reference_and_merged() -> None:
    """Anchors save writing; what stands beside `<<` wins over what is merged."""
    found = document("base: &b {x: 1, y: 2}\nmore: &m {z: 3, x: 9}\nown: {<<: [*b, *m], y: 5}\n")
    assert found["own"] == {"x": 1, "z": 3, "y": 5}


def test_json_is_read_as_json(tmp_path: Path) -> None:
    """Tabs, escaped pairs and exponents are JSON's own; a problem still has its line."""
    plan = document((ROOT / "plans" / "metadata.yaml").read_text())
    plan["systems"]["baseline"]["name"] = "old \U0001f600"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan, indent="\t"))
    assert load_plan(path).systems.baseline.name == "old \U0001f600"
    path.write_text(path.read_text().replace('"migration"', '"migraton"', 1))
    with pytest.raises(InvalidPlan, match="line 2, migraton"):
        load_plan(path)


@pytest.mark.parametrize(("value", "expected"), [
    ("NaN", "line 2: NaN is not a number"), ("-Infinity", "line 2: -Infinity is not"),
    ('"\\ud800"', "line 2: not readable as YAML: found invalid Unicode"),
    ('1, "f": 2', "line 2, flags.f: is defined twice"),
])
def test_json_that_is_none_is_refused(value: str, expected: str) -> None:
    """Python's own reader would take all of these."""
    with pytest.raises(InvalidPlan) as refused:
        document('{"migration": "shop",\n"flags": {"f": ' + value + "}}")
    assert expected in refused.value.problems[0]


def test_all_doubtful_values_are_named_at_once() -> None:
    """Nobody mends a plan one message at a time."""
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(GOOD + "flags: {a: no, b: 010}\n", "own.yaml")
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(("typed", "value"), [
    ("true", True), ("0.05", 0.05), ("WARNING", "WARNING"), ("'no'", "no"), ("[1, 2]", "[1, 2]"),
    ("{", "{"), ("null", None)])
def test_a_typed_value_is_read_as_a_plan_reads_it(typed: str, value: Any) -> None:
    """`changeover flags set NAME VALUE` gives what the same words in the plan would give."""
    assert yaml12.argument(typed, "VALUE") == value


@pytest.mark.parametrize("typed", ["no", "1e3", ".nan", "010"])
def test_a_doubtful_typed_value_is_refused(typed: str) -> None:
    """A flag set to `no` must not become false for one reader and text for another."""
    with pytest.raises(InvalidInput, match="VALUE"):
        yaml12.argument(typed, "VALUE")

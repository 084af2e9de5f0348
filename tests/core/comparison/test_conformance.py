"""Cases that other comparators are known by, as data: one JSON object a line.

`baseline` and `candidate` are JSON texts, `rules` what may differ by pattern, `divergences` pairs
of path and kind. `note` says where our answer is put in other words than the source's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from changeover.comparison.answers import Answer, compare_answers
from changeover.comparison.diff import compare
from changeover.comparison.documents import parse_json
from changeover.comparison.leaves import character_error_rate, word_error_rate
from changeover.comparison.rules import ArrayMode, Rule, RuleSet

CASES = Path(__file__).parents[2] / "cases"


def cases(name: str) -> list[Any]:
    """Return the cases of a file, each with its name for pytest."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [pytest.param(row, id=row.get("name", str(n))) for n, row in enumerate(rows)]


def rule(given: dict[str, Any]) -> Rule:
    """Return a rule from a case's words."""
    words = dict(given)
    if "array" in words:
        words["array"] = ArrayMode(words["array"])
    if words.pop("type_tolerant", False):
        words["is_type_tolerant"] = True
    return Rule(**words)


@pytest.mark.parametrize("case", cases("comparison.jsonl"))
def test_case_is_judged_as_its_source_says(case: dict[str, Any]) -> None:
    """The verdict, and every place with its kind."""
    rules = RuleSet(
        [(pattern, rule(given)) for pattern, given in case.get("rules", {}).items()],
        only=case.get("only", []),
    )
    found = compare(parse_json(case["baseline"].encode()), parse_json(case["candidate"].encode()),
                    rules)
    expected = [tuple(pair) for pair in case["divergences"]]
    assert sorted((d.path, str(d.kind)) for d in found.divergences) == expected
    assert found.is_match is (not expected)
    assert (found.similarity == 1) is found.is_match


@pytest.mark.parametrize("case", cases("error_rates.jsonl"))
def test_error_rates_are_those_of_the_field(case: dict[str, Any]) -> None:
    """Character and word error rates as jiwer defines them."""
    texts = case["reference"], case["hypothesis"]
    if "cer" in case:
        assert character_error_rate(*texts) == pytest.approx(case["cer"])
    if "wer" in case:
        assert word_error_rate(*texts) == pytest.approx(case["wer"])


@pytest.mark.parametrize("case", cases("experiments.jsonl"))
def test_experiment_is_judged_by_both_answers(case: dict[str, Any]) -> None:
    """A candidate that fails is a divergence, and the control's answer is never touched."""
    control, candidate = (_observed(case[side]) for side in ("control", "candidate"))
    rules = RuleSet([("$", rule(case["rules"]))] if "rules" in case else [])
    found = compare_answers(control, candidate, rules)
    assert found.is_match is case["matched"]
    assert len(found.ignored) == case.get("ignored", 0)
    assert control == _observed(case["control"])


def _observed(side: dict[str, Any]) -> Answer:
    if "raises" in side:  # an exception of a program is what a server answers with 500
        return Answer(500, {"content-type": "text/plain"}, ": ".join(side["raises"]).encode())
    return Answer(200, {"content-type": "application/json"}, json.dumps(side["value"]).encode())

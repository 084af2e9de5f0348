"""Only subsets of requests that the plan reads are counted."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from changeover.plan.conditions import CheckSpec
from changeover.plan.model import Plan
from changeover.plan.subsets import in_words, segment_of, subset_of_segment, subsets_read

SYSTEM = {"name": "x", "url": "http://127.0.0.1:1"}
SEGMENTS = {name: {"header": "x-cohort", "any_of": [name]} for name in ("beta", "gold", "vip")}


def plan(*conditions: dict[str, Any], triggers: tuple[dict[str, Any], ...] = ()) -> Plan:
    """Return a plan whose one gate has these checks."""
    return Plan.model_validate({
        "migration": "m", "routing": {"segments": SEGMENTS},
        "systems": {"baseline": SYSTEM, "candidate": {**SYSTEM, "url": "http://127.0.0.1:2"}},
        "gates": {"slo": list(conditions)},
        "triggers": [{"name": f"t{number}", "for": "1s", "action": "alert", **each}
                     for number, each in enumerate(triggers)],
        "phases": [{"phase": "gradual", "gates": ["slo"],
                    "stages": [{"percent": 50, "soak": "1h"}]}]})


def test_subsets_of_requests_are_those_of_checks_and_triggers() -> None:
    """Each once; outcomes by segment come from the console and are not counted at the gateway."""
    bound = {"at_most": "1%"}
    built = plan(
        {"metric": "error_rate", "segment": "beta", **bound}, {"metric": "error_rate", **bound},
        {"metric": "outcome_error_rate", "segment": "gold", **bound},
        triggers=({"metric": "latency_p95", "segment": "vip", "above": "1s"},
                  {"metric": "error_rate", "segment": "beta", "above": "1%"}))
    assert subsets_read(built) == ["segment:beta", "segment:vip"]


def test_metric_that_no_request_tells_has_no_segments() -> None:
    """Memory and probes belong to a whole system."""
    with pytest.raises(ValidationError, match="works with metrics of traffic, outcomes and"):
        CheckSpec.model_validate({"metric": "up", "at_least": 1, "segment": "beta"})


def test_subset_has_one_name_everywhere() -> None:
    """In samples, sums, evidence and, as words, for people."""
    assert segment_of(subset_of_segment("beta")) == "beta"
    assert segment_of("another kind") is None
    assert in_words("segment:beta") == " in segment beta"
    assert in_words(None) == ""

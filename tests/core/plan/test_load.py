"""Plans: what is refused, with which words, and that nothing else ever happens."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from changeover.errors import InvalidPlan
from changeover.plan import rules
from changeover.plan.document import read
from changeover.plan.load import load_plan, parse_plan
from changeover.plan.schema import plan_schema
from tests.support.examples import MANY

ROOT = Path(__file__).parents[3]
GOOD = """\
migration: shop
systems:
  baseline: {name: old, url: 'http://127.0.0.1:1', process: {pid_file: /run/old.pid}}
  candidate: {name: new, url: 'http://127.0.0.1:2'}
routing:
  listen: 127.0.0.1:3
  segments: {beta: {header: x-cohort, any_of: [beta]}}
gates:
  slo:
    - {metric: error_rate, below: 1%, over: 10m}
phases:
  - {phase: beta, percent: 5, segments: [beta], soak: 1h, gates: [slo]}
  - {phase: gradual, gates: [slo], stages: [{percent: 10, soak: 1h}, {percent: 50, soak: 1h}]}
  - {phase: full, soak: 1h, gates: [slo], approval: {approvers: 2}}
triggers:
  - {name: down, metric: up, below: 1, for: 5s, action: rollback}
"""


def problems(text: str) -> list[str]:
    """Return what a plan is refused for."""
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(text, "own.yaml")
    return refused.value.problems


@cache
def editors_schema() -> Draft202012Validator:
    """Return what editors check a plan with."""
    Draft202012Validator.check_schema(plan_schema())
    return Draft202012Validator(plan_schema())


@pytest.mark.parametrize("name", sorted(each.name for each in (ROOT / "plans").glob("*.yaml")))
def test_example_plans_load(name: str) -> None:
    """Every plan that is shipped can work, has the four suites, and fits the editors' schema."""
    path = ROOT / "plans" / name
    plan = load_plan(path)
    assert plan.stages()
    assert {"pre_cutover", "post_cutover", "post_rollback"} <= set(plan.suites)
    # what staging runs is one suite, or the environment of that name has its own
    assert "staging" in plan.suites or "suites" in plan.environments["staging"]
    editors_schema().validate(read(path.read_text(), name)[0])


def test_a_good_plan_lists_its_stages() -> None:
    """A plan becomes stages in order, with what they inherit."""
    stages = parse_plan(GOOD, "x").stages()
    assert [stage.key for stage in stages] == ["beta-5", "gradual-10", "gradual-50", "full"]
    assert [stage.weight for stage in stages] == [500, 1000, 5000, 10_000]
    assert stages[-1].approvers == 2


def test_segments_stay_moved_in_later_stages() -> None:
    """Whoever was moved with a segment is not moved back by the next stage."""
    assert [stage.segments for stage in parse_plan(GOOD, "x").stages()] == [("beta",)] * 4


@pytest.mark.parametrize(
    ("find", "replace", "expected"),
    [
        ("migration: shop", "migraton: shop",
         "line 1, migraton: 'migraton' is unknown, did you mean 'migration'?"),
        ("name: new,", "name: new, helth: /x,",
         "line 4, systems.candidate.helth: 'helth' is unknown, did you mean 'health'?"),
        ("metric: error_rate", "metric: eror_rate", "did you mean 'error_rate'?"),
        ("below: 1%", "below: 5s", "line 10, gates.slo[0]: '5s' is not a number"),
        ("below: 1%", "below: 1%, above: 2%", "exactly one bound is required"),
        ("percent: 50", "percent: 101", "101 is outside 0 to 100"),
        ("percent: 50", "percent: 10", "10 % after 10 %: percentages must grow"),
        ("percent: 50", "percent: 7.125", "finer than 0.01 %"),
        ("soak: 1h, gates: [slo]}", "soak: 1x, gates: [slo]}", "'1x' is not a duration"),
        ("over: 10m", "over: 2h", "the window 2h is longer than the soak 1h of stage beta 5 %"),
        ("approval: {approvers: 2}", "approval: {approvers: 0}", "line 14, phases[2].approval"),
        ("gates: [slo], approval", "gates: [sloo], approval",
         "gate 'sloo' is not defined; defined are slo"),
        ("segments: [beta]", "segments: [gamma]", "segment 'gamma' is not defined"),
        ("metric: up, below: 1", "metric: memory, above: 1GB",
         "memory has no data: systems.candidate has no process"),
        ("metric: up, below: 1", "metric: similarity, below: 90%",
         "similarity has no data: the plan has no shadow"),
        ("metric: up, below: 1", "metric: refused_rate, ratio_to_baseline: 2",
         "refused_rate is measured at the gateway"),
        ("metric: up, below: 1", "metric: up, below: 0", "up can never be below 0"),
        ("127.0.0.1:3", "127.0.0.1:2", "127.0.0.1:2 is the candidate's address"),
        ("'http://127.0.0.1:2'", "'http://127.0.0.1:1'", "is also the baseline's address"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  key: {cokie: a}", "did you mean 'cookie'?"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  key: {cookie: a, header: b}",
         "exactly one of `header`, `cookie`, `query` and `bearer_claim` is required"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  key: []", "line 7, routing.key"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  key: {cookie: 'a b'}",
         "line 7, routing.key"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  issue: {cookie: a, lifetime: 500d}",
         "line 7, routing.issue.lifetime"),
        ("listen: 127.0.0.1:3",
         "listen: 127.0.0.1:3\n  issue: {cookie: a, same_site: none, secure: false}",
         "browsers drop a cookie with same_site none that is not secure"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  keyless: both", "line 7, routing.keyless"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  lost_after: 2s",
         "line 7, routing.lost_after: must be at least 5s"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  lost_after: soon",
         "line 7, routing.lost_after: 'soon' is not a duration"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  tls: {certificate: /a.crt}",
         "line 7, routing.tls.key: is required but missing"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  tls: {certificate: a.crt, key: /a.key}",
         "'a.crt' is not an absolute path"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  limits: {headers: 2MB}",
         "line 7, routing.limits.headers"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  limits: {headers: 1kB}",
         "line 7, routing.limits.headers"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  limits: {body: 0}",
         "line 7, routing.limits.body"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  limits: {body: 10 apples}",
         "'10 apples' is not a size"),
        ("listen: 127.0.0.1:3", "listen: 127.0.0.1:3\n  proxy_protocol: v2",
         "line 7, routing.proxy_protocol: 'v2' must be true or false"),
        ("name: new,", "name: new, addresses: [a],", "'a' is not an address; allowed is HOST:PORT"),
        ("name: new,", "name: new, addresses: [],", "line 4, systems.candidate.addresses"),
        ("name: new,", "name: new, addresses: [{address: 'a:1', weight: 0}],",
         "line 4, systems.candidate.addresses[0].weight"),
        ("name: new,", "name: new, addresses: ['127.0.0.1:1'],",
         "line 4, systems.candidate.addresses: 127.0.0.1:1 is also the baseline's address"),
        ("name: new,", "name: new, addresses: ['a:1', 'b:1'], dns: logical,",
         "`dns: logical` needs exactly one name in `addresses`"),
        ("http://127.0.0.1:2'", "unix:///run/a.sock', addresses: ['b:1']",
         "a Unix socket is one address"),
        ("http://127.0.0.1:2", "unix://run/a.sock", "line 4, systems.candidate.url"),
        ("name: new,", "name: new, tls: {ca: /a.pem},",
         "line 4, systems.candidate: `tls` needs a `url` that begins with https://"),
        ("name: new, url: 'http:", "name: new, tls: {ca: a.pem}, url: 'https:",
         "line 4, systems.candidate.tls.ca: 'a.pem' is not an absolute path"),
        ("name: new, url: 'http:", "name: new, tls: {certificate: /a.pem}, url: 'https:",
         "line 4, systems.candidate.tls: `certificate` and `key` belong together"),
        ("name: new, url: 'http:", "name: new, tls: {}, url: 'https:", "`tls` is empty; allowed"),
        ("name: new, url: 'http:", "name: new, tls: {server_name: 'a b'}, url: 'https:",
         "line 4, systems.candidate.tls.server_name"),
        *(("{header: x-cohort, any_of: [beta]}", spec, expected)
          for spec, expected in (
              ("{header: a, cookie: b, any_of: [c]}", "exactly one of `header`, `cookie` and"),
              ("{header: a}", "`regex`, `present` and `file` is required"),
              ("{cookie: a, prefix: b, suffix: c}", "exactly one of `any_of`, `prefix`,"),
              ("{cookie: 'a b', present: true}", "line 7, routing.segments.beta.cookie"),
              ("{query: a, prefix: ''}", "line 7, routing.segments.beta.prefix"),
              ("{header: a, regex: '('}", "line 7, routing.segments.beta.regex"),
              ("{header: a, regex: 'a(?=b)'}", "'(?' in 'a(?=b)' is not for a gateway"),
              ("{header: a, regex: 'a{2000}'}", "is not for a gateway"),
              ("{header: a, prefx: b}", "did you mean 'prefix'?"),
              ("{header: a, file: ../b}", "'../b' must be a file in the plan's folder or below"),
              ("{header: a, file: /b}", "'/b' must be a file in the plan's folder or below"),
              ("{header: a, file: [b]}", "line 7, routing.segments.beta.file"),
              ("{header: a, any_of: [b], listed: {sha256: '0', users: 1}}", "listed.sha256"),
              ("{header: a, any_of: [b], listed: {sha256: '" + "0" * 64 + "', users: 1}}",
               "`listed` is set when a plan with `file` is read; leave it out"),
              ("{header: a, any_of: [b], not: maybe}", "line 7, routing.segments.beta.not"))),
        ("name: new,", "name: new, protocol: h2,", "line 4, systems.candidate.protocol"),
        ("name: new,", "name: new, protocol: http3,", "allowed are http1, http2"),
        ("action: rollback", "action: rolback", "did you mean 'rollback'?"),
        ("action: rollback", "action: rollback, urgent: false",
         "line 16, triggers[0].urgent: `urgent: false` needs `rollback.return`"),
        ("action: rollback", "action: alert, urgent: false",
         "`urgent: false` belongs to `action: rollback`, not to alert"),
        ("up, below: 1, for: 5s, action: rollback",
         "error_rate, segment: beta, above: 1%, for: 5s, action: rollback, urgent: false",
         "`urgent: false` does not work with `segment`"),
        ("triggers:", "rollback: {return: {over: 5s}}\ntriggers:",
         "over 5s does not fit 10 steps; allowed are 9s (a second between steps) to 1d"),
        ("triggers:", "rollback: {return: {over: 5m, steps: 1}}\ntriggers:",
         "line 15, rollback.return.steps"),
        ("triggers:", "rollback: {return: {steps: 3}}\ntriggers:", "rollback.return.over"),
        ("triggers:", "rollback: {grace: 3s}\ntriggers:", "line 15, rollback.grace"),
        ("triggers:", "rollback: {grace: 4500ms}\ntriggers:", "line 15, rollback.grace"),
        ("triggers:", "rollback: {streams: [Watch]}\ntriggers:", "line 15, rollback.streams[0]"),
        ("triggers:", "rollback: {streams: [/shop.Feed/Watch]}\ntriggers:",
         "line 15, rollback.streams: `streams` are of gRPC, which needs HTTP/2"),
        ("phase: beta", "phase: full", "phase beta"),
        ("migration: shop", "migration: shop\nmigration: shop", "defined twice, first in line 1"),
    ],
)
def test_a_wrong_plan_is_refused_with_place_and_remedy(
    find: str, replace: str, expected: str
) -> None:
    """One clear sentence says where, what was found and what is allowed."""
    assert find in GOOD
    if expected == "phase beta":
        text = GOOD.replace("phase: full", "phase: beta").replace("approval: {approvers: 2}", "")
        assert any("phase beta comes after gradual" in p for p in problems(text))
        return
    found = problems(GOOD.replace(find, replace, 1))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(("part", "place"), [
    ("suites: {s: [{kind: http, has_headers: {etag: '('}}]}", "suites.s[0].has_headers.etag"),
    ("suites: {s: [{kind: security, headers: {etag: '('}}]}", "suites.s[0].headers.etag"),
    ("comparison: {text: {$.a: {replace: [{pattern: '('}]}}}", "comparison.text.$.a.replace[0]"),
], ids=["http", "security", "comparison"])
def test_a_broken_regular_expression_is_refused_at_its_place(part: str, place: str) -> None:
    """Wherever a plan takes one; the plan is refused, not the check that would use it."""
    (found,) = problems(f"{GOOD}{part}\n")
    assert f"line 17, {place}" in found
    assert "'(' is not a regular expression" in found


def test_all_problems_are_named_at_once_in_order_of_their_lines() -> None:
    """Nobody mends a plan one message at a time."""
    text = GOOD.replace("migration: shop", "migration: 9").replace("below: 1%", "below: x")
    lines = [int(problem.split()[1].strip(",:")) for problem in problems(text)]
    assert len(lines) == 2
    assert lines == sorted(lines)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "a: 1\n---\nb: 2", "\t", "&a [*a, *a]"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    """Anything but one mapping is one clear message."""
    assert problems(text)


@MANY
@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_arbitrary_text_never_raises_anything_else(text: str) -> None:
    """Bad input is refused, never a traceback."""
    with pytest.raises(InvalidPlan):
        parse_plan(text, "x")


PARTS = yaml.safe_load(GOOD)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=10,
)


@MANY
@given(st.sampled_from(sorted(PARTS)), values)
def test_arbitrary_values_never_raise_anything_else(key: str, value: object) -> None:
    """Whatever stands in a part of a plan, the plan loads or is refused."""
    text = yaml.dump({**PARTS, key: value}, Dumper=yaml.CSafeDumper)
    try:
        parse_plan(text, "x")
    except InvalidPlan as refused:
        assert refused.problems


def test_ratio_to_a_baseline_that_serves_nobody_deserves_a_warning() -> None:
    """In the full phase a comparison with the baseline has no data, and people will be asked."""
    ratio = GOOD.replace("below: 1%,", "ratio_to_baseline: 1.1,")
    (note,) = [note for note in rules.warnings(parse_plan(ratio, "x")) if "to compare with" in note]
    assert note.startswith("stage full 100 %: error_rate")


ENVIRONMENTS = GOOD + """\
flags: {enable_ai: false, log_level: WARNING}
environments:
  testing:
    flags: {enable_ai: true}
    systems: {candidate: {concurrency: 1}}
  production: {}
"""


def test_environment_is_merged_name_by_name() -> None:
    """What the environment says wins, everything else is the plan's."""
    found = parse_plan(ENVIRONMENTS, "x", "testing")
    assert found.flags == {"enable_ai": True, "log_level": "WARNING"}
    assert found.systems.candidate.concurrency == 1
    assert found.systems.candidate.url == parse_plan(ENVIRONMENTS, "x").systems.candidate.url
    assert found.environment == "testing"


@pytest.mark.parametrize(("text", "problem"), [
    (ENVIRONMENTS.replace("concurrency: 1", "concurrency: 0"),
     "environments.testing.systems.candidate.concurrency: 0"),
    (ENVIRONMENTS.replace("production: {}", "production: {migration: other}"),
     "environments.production.migration: 'migration' cannot differ between environments"),
    (ENVIRONMENTS.replace("testing:", "tests:"),
     "environment 'testing' is unknown; known are tests"),
], ids=["value", "forbidden", "unknown"])
def test_environment_problems_are_placed_where_they_are_written(text: str, problem: str) -> None:
    """A value that the merge makes impossible is named in the environment, with its line."""
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(text, "x", "testing")
    assert problem in str(refused.value)


@pytest.mark.parametrize(("listen", "hops", "is_asked"), [
    ("127.0.0.1:3", None, False), ("localhost:3", None, False), ("[::1]:3", None, False),
    ("127.0.0.9:3", None, False), ("0.0.0.0:3", None, True), ("10.0.0.1:3", None, True),
    ("127.example.com:3", None, True), ("0.0.0.0:3", 0, False), ("0.0.0.0:3", 2, False),
])
def test_hops_are_asked_for_where_others_reach_the_gateway(
    listen: str, hops: int | None, is_asked: bool
) -> None:
    """Beyond loopback a plan should say how many balancers stand in front."""
    said = "" if hops is None else f"\n  trusted_hops: {hops}"
    plan = parse_plan(GOOD.replace("127.0.0.1:3", f"'{listen}'{said}"), "x")
    notes = [note for note in rules.warnings(plan) if "trusted_hops is not set" in note]
    assert len(notes) == int(is_asked)


@pytest.mark.parametrize("hops", ["-1", "21", "many", "1.5"])
def test_number_of_hops_is_one(hops: str) -> None:
    """Only whole numbers from 0 to 20, named by the line."""
    with pytest.raises(InvalidPlan, match=r"routing\.trusted_hops"):
        parse_plan(GOOD.replace("127.0.0.1:3", f"127.0.0.1:3\n  trusted_hops: {hops}"), "x")

"""Sources and external metrics in a plan: what is refused, with one clear message each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from changeover.errors import InvalidPlan
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan

QUERY = 'sum(rate(failed_total{system="{system}"}[{window}]))'


def document(**changes: Any) -> dict[str, Any]:
    """Return a plan whose gate asks Prometheus for a share, and whose trigger watches it."""
    systems = {name: {"name": name, "url": f"http://127.0.0.1:{port}"}
               for name, port in (("baseline", 9101), ("candidate", 9102))}
    return {
        "migration": "shop", "systems": systems,
        "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
        "sources": {"prom": prometheus()},
        "gates": {"slo": [{"metric": "external.failed", "below": "1%"}]},
        "phases": [{"phase": "gradual", "gates": ["slo"],
                    "stages": [{"percent": 50, "soak": "10m"}]}],
        "triggers": [trigger()], **changes,
    }


def prometheus(**changes: Any) -> dict[str, Any]:
    metrics = {"failed": {"query": QUERY, "unit": "share", **changes.pop("metric", {})}}
    return {"kind": "prometheus", "url": "http://127.0.0.1:9090", "metrics": metrics, **changes}


def trigger(**changes: Any) -> dict[str, Any]:
    return {"name": "failing", "metric": "external.failed", "above": "5%", "over": "2m",
            "for": "30s", "action": "rollback", **changes}


def check(**changes: Any) -> dict[str, Any]:
    return {"gates": {"slo": [{"metric": "external.failed", "below": "1%", **changes}]}}


def source(**changes: Any) -> dict[str, Any]:
    return {"sources": {"prom": prometheus(**changes)}}


def parsed(**changes: Any) -> Plan:
    return parse_plan(json.dumps(document(**changes)), "plan.yaml")


def problems(**changes: Any) -> str:
    """Return the messages about a plan that is refused."""
    with pytest.raises(InvalidPlan) as refused:
        parsed(**changes)
    return "\n".join(refused.value.problems)


def test_bounds_are_read_in_the_unit_that_the_source_says() -> None:
    """`1%` of a share is 0.01; a value whose source counts no samples is one sample."""
    plan = parsed()
    (found,) = plan.gates["slo"]
    assert found.bound_values == (0.01,)
    assert (found.unit, found.min_samples) == ("share", 1)
    assert plan.triggers[0].bound_values == (0.05,)


@pytest.mark.parametrize(("unit", "bound", "value"), [
    ("duration", "250ms", 0.25), ("size", "2MB", 2e6), ("number", -7, -7.0)])
def test_every_unit_has_its_own_way_of_writing(unit: str, bound: Any, value: float) -> None:
    """As metrics of our own have."""
    plan = parsed(**source(metric={"unit": unit}), **check(below=bound), triggers=[])
    assert plan.gates["slo"][0].bound_values == (value,)


def test_a_stored_plan_is_the_same_plan() -> None:
    """What the store gives back has the same units and samples."""
    plan = parsed()
    assert Plan.model_validate(plan.model_dump(mode="json", by_alias=True)) == plan


def test_counted_metrics_need_as_many_samples_as_others() -> None:
    """A source that says how many samples stand behind the value is held to min_samples."""
    plan = parsed(**source(metric={"samples": QUERY}))
    assert plan.gates["slo"][0].min_samples == 100
    assert plan.triggers[0].min_samples == 10


@pytest.mark.parametrize(("changes", "said"), [
    (check(metric="external.faild"), "no source has the metric external.faild, did you mean "
                                     "'external.failed'?; defined are external.failed"),
    ({"sources": {}}, "none, the plan has no sources"),
    (check(below="300ms"), "shares such as 0.1%"),
    (check(min_samples=50), "does not say how many samples stand behind it"),
    (check(on_no_data="fail"), "a source that is down must roll nothing back"),
    (check(test="sequential", below=None, ratio_to_baseline=1.1), "does not work with external"),
    (check(test="mann_whitney", below=None, ratio_to_baseline=1.1), "does not work with external"),
    (check(segment="beta"), "does not name {segment}"),
    (check(segment="gamma"), "segment 'gamma' is not defined"),
    (check(unit="number", below=1), "has the unit share, not number"),
    (check(below="150%"), "is outside 0 to 1"),
    ({**source(metric={"query": "up"}), **check(of="baseline")}, "does not name {system}"),
    ({**source(metric={"query": "up"}), **check(below=None, ratio_to_baseline=2)},
     "both systems would have the same value"),
    ({**source(metric={"query": "up"}), **check(over="1m")}, "`over` changes nothing"),
    (source(metric={"query": QUERY.replace("{window}", '{segment="{segment}"}')}),
     "give the condition a `segment`"),
    ({"triggers": [trigger(**{"for": "5s"})]}, "`for` must be at least that long"),
    ({"gates": {"slo": [{"metric": "error_rate", "below": "1%", "unit": "share"}]}},
     "the unit of error_rate is known"),
    ({"sources": {"prom": prometheus(), "more": prometheus()}}, "also a metric of source prom"),
    (source(metric={"range": {"step": "15m", "take": "max"}}), "shorter than the step"),
    ({**source(metric={"range": {"step": "1s", "take": "max"}}),
      "phases": [{"phase": "gradual", "gates": ["slo"],
                  "stages": [{"percent": 50, "soak": "4h"}]}]}, "more than 11000 points"),
    (source(metric={"range": {"step": "0s", "take": "max"}}), "allowed are 1s and more"),
    (source(metric={"range": {"step": "1s", "take": "best"}}), "allowed are last, max, min"),
    (source(metric={"unit": "shares"}), "allowed are share, duration, size, number"),
    (source(every="5m"), "max_age 3m is shorter than every 5m"),
    (source(timeout="2m"), "timeout 2m is not allowed; allowed are 0.1 to 30 seconds"),
    (source(kind="graphite"), "allowed are prometheus, sql, json, command"),
    (source(ulr="http://x"), "'ulr' is unknown, did you mean 'url'?"),
    (source(metrics={}), "at least 1"),
])
def test_what_cannot_work_is_refused_with_what_is_allowed(
    changes: dict[str, Any], said: str
) -> None:
    """Nobody learns at night that a source was never going to answer."""
    assert said in problems(**changes)


@pytest.mark.parametrize(("query", "said"), [
    ("up{system={system}}", 'write it within quotes, such as {system="{system}"}'),
    ("up{system=`{system}`}", "backquotes"),
    ('up{system="{systm}"}', "{systm} is unknown, did you mean {system}?"),
    ("rate(up[{windo}])", "did you mean {window}?"),
    ("up{job}", "{job} is unknown; allowed are {system}, {segment}, {window}, {migration}"),
    ("", "at least 1"),
])
def test_placeholders_of_promql_are_values_of_labels(query: str, said: str) -> None:
    """A name that ends its quotes, or stands outside of them, would be a part of the language."""
    assert said in problems(**source(metric={"query": query}))


@pytest.mark.parametrize("query", [
    'up{system="{system}"}', "up{system='{system}'}", 'sum by (le) (x{a=~"{system}-[0-9]{3}"})',
    'x{a="b"} # {job} is a comment', "rate(x[{window}])", 'label_replace(x, "a", "$1", "b", "c")',
])
def test_promql_keeps_its_own_braces(query: str) -> None:
    """Matchers, repetitions and comments are left alone."""
    assert parsed(**source(metric={"query": query}))


def sql(query: str, **changes: Any) -> dict[str, Any]:
    return {"sources": {"shop": {"kind": "sql", "env": "SHOP_DATABASE", "metrics": {
        "failed": {"query": query, "unit": "share"}}, **changes}}}


@pytest.mark.parametrize(("query", "said"), [
    ("SELECT 1 FROM o WHERE system = '{system}'", "never pasted into the text"),
    ('SELECT "{system}" FROM o', "never pasted into the text"),
    ("SELECT $a$ {system} $a$", "never pasted into the text"),
    ("SELECT 1 FROM {system}_orders", "cannot be a part of a name"),
    ("SELECT 1 FROM shop.{system}", "cannot be a part of a name"),
    ("SELECT 1 WHERE s = {sytem}", "did you mean {system}?"),
    ("DELETE FROM orders", "must begin with SELECT, WITH or VALUES"),
])
def test_placeholders_of_sql_are_bound_values(query: str, said: str) -> None:
    """A value is never text of the statement."""
    assert said in problems(**sql(query))


@pytest.mark.parametrize("query", [
    "SELECT avg(x) FROM o WHERE system = {system} AND age < {window}",
    "-- {system} of the shop\nselect 1 where {system} <> '{}' and a = '{1,2}'::int[]",
    "/* all */ WITH a AS (SELECT {system}) SELECT 1 FROM a",
])
def test_sql_keeps_its_own_braces(query: str) -> None:
    """Arrays, comments and texts are left alone."""
    assert parsed(**sql(query))


@pytest.mark.parametrize(("where", "found"), [
    ("auth", {"bearer": "s3cret-token"}), ("auth", {"basic": "user:s3cret"}),
    ("auth", {"headers": {"x-api-key": "s3cret!"}}), ("url", "http://user:s3cret@shop:9090"),
    ("url", "http://shop:9090/?token=s3cret"),
])
def test_a_secret_in_the_plan_is_refused_and_never_repeated(where: str, found: Any) -> None:
    """Only the names of variables may stand there, and the message does not show what did."""
    said = problems(**source(**{where: found}))
    assert "s3cret" not in said
    assert "environment variable" in said or "credentials belong into `auth`" in said


@pytest.mark.parametrize("url", [
    "postgresql://u:s3cret@h/db", "mysql://h/db?password=s3cret", "s3cret"])
def test_a_database_with_a_password_is_named_by_a_variable(url: str) -> None:
    """`env` is the way for every URL that has one."""
    said = problems(**sql("SELECT 1", env=None, url=url))
    assert "give any other one by `env`" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("url", [
    "sqlite:///shop.db", "sqlite:////var/shop.db", "postgresql://reader@db:5432/shop"])
def test_a_database_without_a_password_may_stand_in_the_plan(url: str) -> None:
    """Most are SQLite files."""
    assert parsed(**sql("SELECT 1", env=None, url=url))


@pytest.mark.parametrize(("metric", "said"), [
    ({"path": "/x?s={sys}", "value": "$.a"}, "{sys} is unknown"),
    ({"path": "x", "value": "$.a"}, "does not match"),
    ({"path": "/x", "value": "$..a"}, "must lead to one value"),
    ({"path": "/x", "value": "/a/b"}, "must lead to one value"),
    ({"path": "/x", "value": "a"}, "must begin with $"),
    ({"path": "/x"}, "is required but missing"),
])
def test_places_in_json_lead_to_one_value(metric: dict[str, Any], said: str) -> None:
    """Several values are no number."""
    changed = {"sources": {"shop": {"kind": "json", "url": "http://x", "metrics": {
        "failed": {"unit": "share", **metric}}}}}
    assert said in problems(**changed)


@pytest.mark.parametrize(("metric", "said"), [
    ({"command": []}, "at least 1"),
    ({"command": ["rate", "{systm}"]}, "did you mean {system}?"),
    ({"command": ["rate"], "samples": "$.n"}, "give the place of `value` too"),
    ({"command": "rate {system}"}, "must be a list"),
])
def test_commands_are_lists_of_words(metric: dict[str, Any], said: str) -> None:
    """No shell reads them."""
    changed = {"sources": {"shop": {"kind": "command", "metrics": {
        "failed": {"unit": "share", **metric}}}}}
    assert said in problems(**changed)


def test_commands_keep_their_own_braces() -> None:
    """`awk {print}` is no placeholder."""
    metrics = {"failed": {"unit": "share", "command": ["awk", "{print $1}", "{print}"]}}
    assert parsed(sources={"shop": {"kind": "command", "metrics": metrics}})

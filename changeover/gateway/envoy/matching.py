"""How Envoy matches headers, for routes and for what is noted of requests. Pure."""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy.segment_script import header_of, is_always_set, standing
from changeover.plan.routes import RouteSpec, Tested, TextTest
from changeover.plan.routing import BUCKETS
from changeover.plan.segments import SegmentSpec

Json = dict[str, Any]

LIST = "type.googleapis.com/envoy.config.route.v3.RouteList"
_HEADER = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


def string(header: str, matcher: Json) -> Json:
    """Return the match of a header by its whole text; one of several values is enough."""
    return {"name": header, "string_match": matcher}


def with_value(header: str) -> list[Json]:
    """Return the matches of requests whose header is there and not empty."""
    return [{"name": header, "present_match": True},
            {**string(header, {"exact": ""}), "invert_match": True}]


def of_segment(segment: SegmentSpec) -> Json:
    """Return the match of a segment's users; `domain.segment_matching` makes the same test."""
    header = header_of(segment)
    if segment.listed is not None:  # the script has looked into the list
        said = standing(segment.listed, is_listed=not segment.is_inverted)
        return string(header, {"contains": said})
    found = string(header, _test(segment))
    if not segment.is_inverted:
        return found
    # who has no value at all is outside of the group that is left out; the script says so itself
    return {**found, "invert_match": True,
            "treat_missing_header_as_empty": not is_always_set(segment)}


def _test(segment: SegmentSpec) -> Json:
    if segment.prefix is not None:
        return {"prefix": segment.prefix}
    if segment.suffix is not None:
        return {"suffix": segment.suffix}
    if segment.any_of is not None:
        alternatives = "|".join(_literal(value) for value in segment.any_of)
        return {"safe_regex": {"regex": alternatives}}
    # any bytes at all, UTF-8 or not
    return {"safe_regex": {"regex": segment.regex or r"(?s)\C+"}}


def ends_with_number(header: str) -> Json:
    """Return the match of keys that end with a decimal number, in UTF-8."""
    return string(header, {"safe_regex": {"regex": ".*[0-9]"}})


def ends_below(header: str, modulo: int, buckets: int) -> Json:
    """Return the match of keys that end with a number whose rest belongs to the first buckets.

    Args:
        header: The key's header.
        modulo: 10, 100, 1000 or 10,000: the rest is what the last digits say.
        buckets: How many of the 10,000 buckets are meant, 1 or more.
    """
    digits = len(str(modulo)) - 1
    step = BUCKETS // modulo
    # a rest stands for so many buckets at once, and belongs where its first one does
    rests = -(-buckets // step)
    found = [f".*{_less(rests, digits)}"]
    for fewer in range(1, digits):
        found.append(f"(.*[^0-9])?{_less(rests, fewer)}")
    return string(header, {"safe_regex": {"regex": "|".join(found)}})


def _less(number: int, digits: int) -> str:
    """Return a regular expression for exactly so many digits that say less than a number."""
    if number >= 10 ** digits:
        return f"[0-9]{{{digits}}}"
    found = []
    for place, digit in enumerate(f"{number:0{digits}d}"):
        if digit != "0":
            same, free = f"{number:0{digits}d}"[:place], digits - place - 1
            found.append(f"{same}[0-{int(digit) - 1}]" + (f"[0-9]{{{free}}}" if free else ""))
    return f"({'|'.join(found)})"


def _literal(value: str) -> str:
    """Return `value` as a regular expression (RE2) that matches nothing else."""
    # RE2 takes a backslash before ASCII signs only; before a letter it means something else.
    return "".join(c if c.isalnum() or ord(c) > 127 else "\\" + c for c in value)


def listed(name: str, routes: list[Json]) -> Json:
    """Return a list of routes as what the generic matcher leads to."""
    return {"action": {"name": name, "typed_config": {"@type": LIST, "routes": routes}}}


def predicate(spec: RouteSpec) -> Json:
    """Return the match of a named part's requests, for Envoy's generic matcher."""
    return _joined("and_matcher", [_of_header(each) for each in spec.conditions])


def _of_header(tested: Tested) -> Json:
    return _joined("or_matcher", [_single(tested.header, test) for test in tested.tests])


def _joined(how: str, predicates: list[Json]) -> Json:
    # Envoy refuses a list of one
    return predicates[0] if len(predicates) == 1 else {how: {"predicate": predicates}}


def _single(header: str, test: TextTest) -> Json:
    text: Any = {"google_re2": {}, "regex": test.text} if test.kind == "regex" else test.text
    kind = "safe_regex" if test.kind == "regex" else test.kind
    match: Json = {kind: text}
    if test.ignores_case:
        match["ignore_case"] = True
    return single(header, match)


def single(header: str, match: Json) -> Json:
    """Return the test of a header's text, for Envoy's generic matcher."""
    return {"single_predicate": {"input": of_header(header), "value_match": match}}


def of_header(header: str) -> Json:
    """Return a header's text as what the generic matcher looks at."""
    return {"name": "envoy.matching.inputs.request_headers",
            "typed_config": {"@type": _HEADER, "header_name": header}}

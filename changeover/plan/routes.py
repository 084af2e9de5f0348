"""Parts of the traffic that have a name and a place of their own in the rollout. Pure.

A route is told by the request: its path, method, host and headers. The first one that matches
counts. Each condition is a list of simple tests of one header's text, which the gateway
(`gateway.envoy.parts`) and `domain.route_matching` both carry out, so they agree by construction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from changeover.plan.comparing import ComparisonSpec
from changeover.plan.fields import Duration, HeaderName, OneOrMore, Part, listed
from changeover.plan.portable import NOT_IN_ENVOY, bounded
from changeover.plan.rewriting import (
    PLACEHOLDER,
    RewriteSpec,
    Step,
    of_exact,
    of_prefix,
    of_regex,
    of_template,
    path_text,
)

RouteName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
_QUERY = r"(?:\?.*)?"
_MOST_PATH = 500


@dataclass(frozen=True, slots=True)
class TextTest:
    """A test of a header's text: `kind` is exact, prefix, suffix, contains or regex (of all)."""

    kind: Literal["exact", "prefix", "suffix", "contains", "regex"]
    text: str
    ignores_case: bool = False


@dataclass(frozen=True, slots=True)
class Tested:
    """A header (`:path`, `:method`, `:authority` among them), of whose tests one must be true."""

    header: str
    tests: tuple[TextTest, ...]


def _template(text: str) -> str:
    plain = path_text(PLACEHOLDER.sub("x", text))
    if "{" in plain or "}" in plain:
        raise ValueError(f"{text!r} is no template; a part that may be anything is {{name}}, as in "
                         "/orders/{id}")
    return text


def _regex(text: str) -> str:
    if found := NOT_IN_ENVOY.search(text):
        raise ValueError(f"{found[0]!r} in {text!r} is not for a path: groups are (?:…) or (…), "
                         "without look-around, back references and named classes")
    if not text.startswith("/"):
        raise ValueError(f"{text!r} matches no path: a path begins with /, and all of it must "
                         "match")
    return bounded(text)


_Text = Annotated[str, Field(max_length=_MOST_PATH)]


class PathMatch(Part):
    """Which paths; a query (`?…`) behind a path does not matter."""

    exact: Annotated[_Text, AfterValidator(path_text)] | None = Field(
        None, description="This path only.")
    prefix: Annotated[_Text, AfterValidator(path_text)] | None = Field(
        None, description="This path and all below it: `/orders` is also `/orders/7`, and not "
        "`/orders-old`.")
    template: Annotated[_Text, AfterValidator(_template)] | None = Field(
        None, description="A path with parts that may be anything, as `/orders/{id}`.")
    regex: Annotated[_Text, AfterValidator(_regex)] | None = Field(
        None, description="A regular expression that matches the whole path.")

    @model_validator(mode="after")
    def _one_way(self) -> PathMatch:
        if len(self.model_fields_set) != 1:
            raise ValueError("exactly one of `exact`, `prefix`, `template` and `regex` is required")
        return self

    @property
    def tests(self) -> tuple[TextTest, ...]:
        """What the request's path with its query must fulfil."""
        if self.exact is not None:
            return TextTest("exact", self.exact), TextTest("prefix", f"{self.exact}?")
        if self.prefix is not None:
            return _below(self.prefix)
        if self.template is not None:
            parts = (re.escape(part) for part in PLACEHOLDER.split(self.template))
            return (TextTest("regex", "[^/?]+".join(parts) + _QUERY),)
        return (TextTest("regex", f"(?:{self.regex}){_QUERY}"),)

    def steps(self, to: str) -> tuple[Step, ...]:
        """Return how these paths become another one.

        Args:
            to: The new path, or its beginning, as `RewriteSpec` has it.

        Raises:
            ValueError: It does not fit these paths.
        """
        if self.exact is not None:
            return of_exact(self.exact, to)
        if self.prefix is not None:
            return of_prefix(self.prefix, to)
        if self.template is not None:
            return of_template(self.template, to)
        return of_regex(self.regex or "", to)

    @property
    def title(self) -> str:
        """The paths in words."""
        if self.prefix is not None:
            return self.prefix if self.prefix.endswith("/") else f"{self.prefix} and below"
        return self.exact or self.template or f"paths like {self.regex}"


def _below(prefix: str) -> tuple[TextTest, ...]:
    if prefix.endswith("/"):
        return (TextTest("prefix", prefix),)
    ends = (TextTest("prefix", f"{prefix}{end}") for end in "/?")
    return TextTest("exact", prefix), *ends


class HeaderMatch(Part):
    """A header and the values that count; one of several values is enough."""

    name: HeaderName
    any_of: list[Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$")]] \
        = Field(min_length=1, max_length=100)

    @property
    def tested(self) -> Tested:
        """What the gateway sees: all values of the header with commas between them."""
        tests = []
        for value in self.any_of:
            tests += [TextTest("exact", value), TextTest("prefix", f"{value},")]
            for comma in (",", ", "):
                tests += [TextTest("suffix", f"{comma}{value}"),
                          TextTest("contains", f"{comma}{value},")]
        return Tested(self.name, tuple(tests))


Method = Annotated[str, Field(pattern=r"^[A-Z][A-Z-]{0,30}$", examples=["GET", "POST"])]
Host = Annotated[
    str, BeforeValidator(lambda v: str(v).lower()),
    Field(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?$",
          examples=["shop.example", "*.shop.example"])]


class RouteSpec(Part):
    """A part of the traffic: which requests, and whether they move by themselves."""

    name: RouteName
    path: PathMatch | None = Field(None, description="Which paths; default: all.")
    method: Annotated[
        list[Method], BeforeValidator(listed), Field(max_length=20), OneOrMore()] = Field(
        default=[], description="One method or several; default: all.")
    host: Annotated[
        list[Host], BeforeValidator(listed), Field(max_length=50), OneOrMore()] = Field(
        default=[], description="One host or several, without port; `*.shop.example` are all below "
        "it. Default: all.")
    header: Annotated[
        list[HeaderMatch], BeforeValidator(listed), Field(max_length=10), OneOrMore()] = Field(
        default=[], description="Headers that must all be there; default: none.")
    move: Literal["alone", "together", "never"] = Field(
        "alone", description="`alone`: at the baseline until a stage names it, or until `full`; "
        "`together`: with everything else; `never`: at the baseline also in `full`.")

    timeout: Duration | None = Field(
        None, description="Longest wait until an answer begins, per attempt; 0: no limit. Default: "
        "that of the systems.")
    attempt_timeout: Duration | None = Field(
        None, description="Longest wait until the candidate's answer to a safe request begins, "
        "before the baseline is asked. Default: the candidate's.")
    silence: Duration | None = Field(
        None, description="Longest time without any data within a request and its answer; 0: no "
        "limit. Default: that of the systems.")

    comparison: ComparisonSpec | None = Field(
        None, description="How its answers are compared, instead of the plan's `comparison`; for a "
        "route that is told by `path` and `method` alone.")

    rewrite: RewriteSpec | None = Field(
        None, description="What the candidate sees of its requests instead of what users sent.")

    @property
    def steps(self) -> tuple[Step, ...]:
        """How its paths change for the candidate; empty when they do not."""
        if self.path is None or self.rewrite is None or self.rewrite.path is None:
            return ()
        return self.path.steps(self.rewrite.path)

    @property
    def is_told_by_line(self) -> bool:
        """Whether the first line of a request is enough to say that it is of this route."""
        return not self.host and not self.header

    @property
    def limits(self) -> dict[str, timedelta]:
        """The limits that it has of its own, by their names in a system."""
        names = ("timeout", "attempt_timeout", "silence")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _rewrite_fits(self) -> RouteSpec:
        if self.rewrite is None:
            return self
        if self.move == "never":
            raise ValueError("`rewrite` is for the candidate, which gets nothing of a route with "
                             "`move: never`; remove one of them")
        if self.rewrite.path is not None and self.path is None:
            raise ValueError("`rewrite.path` needs the route's `path`, which says what is replaced")
        _ = self.steps  # raises what does not fit
        return self

    @model_validator(mode="after")
    def _comparison_fits(self) -> RouteSpec:
        if self.comparison is not None and not self.is_told_by_line:
            raise ValueError("`comparison` works with `path` and `method` only: what is saved of a "
                             "request has no host and no headers; remove one of them")
        return self

    @model_validator(mode="after")
    def _says_something(self) -> RouteSpec:
        if self.path is None and not (self.method or self.host or self.header):
            raise ValueError("one of `path`, `method`, `host` and `header` is required; what has "
                             "no route moves with the rest")
        return self

    @property
    def conditions(self) -> tuple[Tested, ...]:
        """What a request of this route fulfils, all of it."""
        found = [] if self.path is None else [Tested(":path", self.path.tests)]
        if self.method:
            methods = tuple(TextTest("exact", each) for each in self.method)
            found.append(Tested(":method", methods))
        if self.host:
            hosts = [test for each in self.host for test in _of_host(each)]
            found.append(Tested(":authority", tuple(hosts)))
        return *found, *(each.tested for each in self.header)

    @property
    def title(self) -> str:
        """The requests in words: `GET /orders and below`."""
        parts = [", ".join(self.method), self.path.title if self.path else ""]
        parts += [f"of {', '.join(self.host)}"] if self.host else []
        parts += [f"with {each.name} {' or '.join(each.any_of)}" for each in self.header]
        return " ".join(filter(None, parts))


def _of_host(host: str) -> tuple[TextTest, ...]:
    if host.startswith("*."):
        below = f"[^/:]+{re.escape(host[1:])}(?::[0-9]*)?"
        return (TextTest("regex", f"(?i:{below})"),)
    return TextTest("exact", host, True), TextTest("prefix", f"{host}:", True)

"""What a route's requests look like to the candidate: another path, another host. Pure.

A change of paths is a list of steps, of which the first one that fits is done. The gateway writes
them down as routes (`gateway.envoy.rewriting`), Python (`domain.rewriting`) carries them out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from changeover.plan.endpoint import HostName, without_dots
from changeover.plan.fields import Part

_MOST_PATH = 500
PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
"""A part of a template that may be anything: `{id}`."""
_GROUP = re.compile(r"\\(.?)", re.DOTALL)
_MOST_GROUPS = 9
"""What a gateway can name in a replacement."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a path, if it fits.

    Args:
        kind: `prefix`: the path begins with `text`, and begins with `to` afterwards; `regex`: all
            of the path without its query matches `text`, and is `to` afterwards.
        text: What the path is compared with.
        to: What it becomes; in that of a regex `\\1` is its first group, and `\\\\` a backslash.
    """

    kind: Literal["prefix", "regex"]
    text: str
    to: str


def path_text(text: str) -> str:
    """Return a path of a plan; raises ValueError for what is none."""
    if not re.fullmatch(r"/[\x21-\x7e]*", text) or "#" in text or "?" in text:
        raise ValueError(
            f"{text!r} is no path; it begins with / and has no blanks, ? or #, and others than "
            "ASCII signs are escaped, as %C3%A9")
    return text


def _new_path(text: str) -> str:
    return without_dots(path_text(text), text)


class RewriteSpec(Part):
    """What the candidate sees of a route's requests in place of what users sent."""

    path: Annotated[str, Field(max_length=_MOST_PATH), AfterValidator(_new_path)] | None = Field(
        None, description="Its path instead of the route's: of `prefix` the beginning, of `exact` "
        "the whole, of `template` with its {names}, of `regex` with its groups as \\1. The query "
        "stays. Default: as users sent it.",
        examples=["/api/v2/orders", "/v2/customers/{id}", r"/v2/\1"])
    host: HostName | None = Field(
        None, description="The host that these requests name. Default: that of the candidate.")

    @model_validator(mode="after")
    def _says_something(self) -> RewriteSpec:
        if self.path is None and self.host is None:
            raise ValueError("one of `path` and `host` is required; a route whose requests the "
                             "candidate gets as they are has no `rewrite`")
        return self


def of_exact(path: str, to: str) -> tuple[Step, ...]:
    """Return the change of one path."""
    return (Step("prefix", path, to),)


def of_prefix(prefix: str, to: str) -> tuple[Step, ...]:
    """Return the change of a path and all below it.

    Raises:
        ValueError: One ends with a slash and the other does not: `//` or no slash would come of it.
    """
    if prefix.endswith("/") == to.endswith("/"):
        return (Step("prefix", prefix, to),)
    # the prefix is taken away
    if to == "/":
        return Step("prefix", f"{prefix}/", "/"), Step("prefix", prefix, "/")
    other = f"{to}/" if prefix.endswith("/") else to.rstrip("/")
    raise ValueError(f"`rewrite.path` {to!r} and `path.prefix` {prefix!r} must both end with a "
                     f"slash, or neither (or `rewrite.path: /` takes the prefix away); write "
                     f"{other}")


def of_template(template: str, to: str) -> tuple[Step, ...]:
    """Return the change of a path by its placeholders.

    Raises:
        ValueError: The new path names what the template does not have, or not once.
    """
    names = PLACEHOLDER.findall(template)
    taken = list(dict.fromkeys(PLACEHOLDER.findall(to)))
    for name in taken:
        if names.count(name) != 1:
            how = "is twice in" if name in names else "is not in"
            raise ValueError(f"{name} of `rewrite.path` {how} `path.template` {template!r}, which "
                             "must name each part once that the new path takes over")
    if re.search("[{}]", PLACEHOLDER.sub("", to)):
        raise ValueError(f"`rewrite.path` {to!r} has a brace that names no part of the template, "
                         "as {id} does")
    if len(taken) > _MOST_GROUPS:
        raise ValueError(f"`rewrite.path` takes over {len(taken)} parts of the template, and "
                         f"{_MOST_GROUPS} are the most; use `path.prefix`")
    text, order = "", []
    for between, name in zip_longest(PLACEHOLDER.split(template), names):
        text += re.escape(between)
        if name in taken:
            order.append(name)
        text += "" if name is None else "([^/]+)" if name in taken else "[^/]+"
    # a backslash of the plan's is one of the path
    new = PLACEHOLDER.sub(lambda found: f"\\{order.index(found[0]) + 1}", to.replace("\\", r"\\"))
    return (Step("regex", text, new),)


def of_regex(regex: str, to: str) -> tuple[Step, ...]:
    """Return the change of a path by the groups of its regular expression.

    Raises:
        ValueError: The new path names a group that there is not.
    """
    groups = re.compile(regex).groups
    allowed = ", ".join(f"\\{number + 1}" for number in range(min(groups, _MOST_GROUPS)))
    for found in _GROUP.finditer(to):
        is_known = found[1].isdigit() and 1 <= int(found[1]) <= groups
        if found[1] != "\\" and not is_known:
            raise ValueError(
                f"{found[0]!r} in `rewrite.path` is no group of `path.regex` {regex!r}; allowed "
                f"are {allowed or 'none, it has no (…)'}, and two backslashes for one")
    return (Step("regex", regex, to),)


def below(steps: tuple[Step, ...], path: str) -> tuple[Step, ...]:
    """Return the same steps to paths below another one, which has no backslash."""
    return tuple(replace(step, to=path + step.to) for step in steps)


def expanded(to: str, groups: tuple[str | None, ...]) -> str:
    """Return what a regex step's replacement becomes; a group that took no part is empty."""
    def one(found: re.Match[str]) -> str:
        return found[1] if found[1] == "\\" else groups[int(found[1]) - 1] or ""

    return _GROUP.sub(one, to)

"""Segments: named groups of users, recognised by a header, a cookie or a parameter. Pure.

The gateway (`gateway.envoy.matching`) carries out the same tests as `is_in`, on the same texts, so
they agree on each request. `domain.segment_matching` finds the texts in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from changeover.plan.fields import Cookie, HeaderName, Parameter, Part
from changeover.plan.portable import matches, portable
from changeover.plan.user_lists import ListedSpec, ListPath, UserList, from_context

Value = Annotated[str, Field(min_length=1, max_length=200)]
Regex = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(portable)]


class SegmentSpec(Part):
    """A named group of users: where it is looked, and what must be found there."""

    header: HeaderName | None = Field(None, description="Request header.")
    cookie: Cookie | None = Field(None, description="Cookie; the first one of that name.")
    query: Parameter | None = Field(
        None, description="Parameter of the address; the first one of that name, decoded.")
    any_of: list[Value] | None = Field(
        None, min_length=1, description="The whole value is one of these.")
    prefix: Value | None = Field(None, description="How the value begins.")
    suffix: Value | None = Field(None, description="How the value ends.")
    regex: Regex | None = Field(
        None, description="A regular expression that matches the whole value.")
    present: bool | None = Field(
        None, description="Whether there is a value that is not empty, whatever it is.")
    file: ListPath | None = Field(
        None, description="The whole value is a line of this file, 100,000 lines at most; the path "
        "is relative to the plan.")
    listed: ListedSpec | None = Field(
        None, description="What the file's list is told by; set when the plan is read, never "
        "written by hand.")
    not_: bool = Field(
        False, alias="not", description="Everybody but these; also who has no value at all.")
    _users: UserList | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _is_one_test(self, info: ValidationInfo) -> SegmentSpec:
        if [self.header, self.cookie, self.query].count(None) != 2:
            raise ValueError("exactly one of `header`, `cookie` and `query` is required")
        tests = (self.any_of, self.prefix, self.suffix, self.regex, self.present, self.file)
        if tests.count(None) != len(tests) - 1:
            raise ValueError("exactly one of `any_of`, `prefix`, `suffix`, `regex`, `present` and "
                             "`file` is required")
        if (self.file is None) != (self.listed is None):
            raise ValueError("`listed` is set when a plan with `file` is read; leave it out"
                             if self.file is None else f"the file {self.file} was not read")
        if self.listed is not None:
            self._users = from_context(info.context, self.listed.sha256)
        return self

    @property
    def users(self) -> UserList:
        """The users of a segment with `file`.

        Raises:
            RuntimeError: The plan was read without its lists, for those who decide about nobody.
        """
        if self._users is None:
            raise RuntimeError(f"the list of users in {self.file} was not read with the plan")
        return self._users

    @property
    def place(self) -> tuple[str, str]:
        """Where the value is: `("cookie", "plan")`."""
        for kind, name in (("header", self.header), ("cookie", self.cookie)):
            if name is not None:
                return kind, name
        return "query", self.query or ""

    @property
    def attribute(self) -> str:
        """What the value is called among a user's attributes: `x-cohort`, `cookie.plan`."""
        kind, name = self.place
        return name if kind == "header" else f"{kind}.{name}"

    @property
    def is_inverted(self) -> bool:
        """Whether those are meant for whom the test is not true."""
        return self.not_ != (self.present is False)

    @property
    def title(self) -> str:
        """Who is in it, in words: `x-cohort: beta, staff`."""
        kind, name = self.place
        where = name if kind == "header" else f"{kind} {name}"
        if self.present is not None:
            return f"{'without' if self.is_inverted else 'with'} {where}"
        tests = (("", ", ".join(self.any_of or ())), ("begins with ", self.prefix),
                 ("ends with ", self.suffix), ("like ", self.regex))
        what = next((f"{how}{text}" for how, text in tests if text), "")
        if self.listed is not None:
            what = f"one of {self.listed.users:,} in {self.file}"
        return f"{where}: {'not ' if self.not_ else ''}{what}"


def is_in(spec: SegmentSpec, texts: Sequence[str]) -> bool:
    """Whether a user with these values is in a segment; one of several values is enough.

    Without any value nobody is in it, except for `not`, which takes it as an empty one.
    """
    if spec.is_inverted:
        return not any(_fits(spec, text) for text in texts or ("",))
    return any(_fits(spec, text) for text in texts)


def _fits(spec: SegmentSpec, text: str) -> bool:
    if spec.any_of is not None:
        return text in _quick(tuple(spec.any_of))
    if spec.file is not None:
        return text in spec.users.values
    if spec.prefix is not None:
        return text.startswith(spec.prefix)
    if spec.suffix is not None:
        return text.endswith(spec.suffix)
    if spec.regex is not None:
        return matches(spec.regex, text)
    return bool(text)


@lru_cache(maxsize=1000)
def _quick(values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(values)

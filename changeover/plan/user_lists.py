"""Lists of users that segments take from files: one value a line. Pure.

A plan has only what a list is told by (`ListedSpec`), so that plans stay small wherever they are
stored and shown. The values are read with the plan: from the file (`plan.user_files`), from the
store (`store.user_lists`) or from the console (`sdk.feed`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from changeover.plan.fields import Part

MOST_USERS = 100_000
LONGEST_VALUE = 200
LARGEST_BYTES = 24 << 20
"""Above 100,000 lines of 200 signs each, as long as most of them are ASCII."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def list_path(text: str) -> str:
    """Return the path of a list's file, relative to the plan.

    Raises:
        ValueError: It leads elsewhere than into the plan's folder.
    """
    parts = text.split("/")
    if not text or parts[0] == "" or ".." in parts or "\\" in text or "\0" in text:
        raise ValueError(f"{text!r} must be a file in the plan's folder or below it, as "
                         "beta-users.txt or lists/beta.txt")
    return text


ListPath = Annotated[str, Field(max_length=200), AfterValidator(list_path)]


class ListedSpec(Part):
    """What a list is told by; set when a plan is read, never written by hand."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Of the values, sorted, one a line.")
    users: int = Field(ge=1, le=MOST_USERS, description="How many values there are.")


@dataclass(frozen=True, slots=True)
class UserList:
    """The values of a list, and the digest that no other list has.

    Args:
        sha256: The digest.
        values: The values; never in `repr`, since logs and messages may have that.
        content: The same, sorted, one a line: what the digest is of.
    """

    sha256: str
    values: frozenset[str] = field(repr=False)
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, values: Iterable[str]) -> UserList:
        """Return the list of some values; their order, and what is there twice, do not count."""
        found = frozenset(values)
        content = "".join(f"{value}\n" for value in sorted(found)).encode()
        return cls(hashlib.sha256(content).hexdigest(), found, content)

    @classmethod
    def restored(cls, content: bytes, sha256: str) -> UserList:
        """Return the list that `content` was made of.

        Raises:
            ValueError: It is not the list with that digest.
        """
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"this is not the list of users with the digest {sha256}")
        return cls(sha256, frozenset(content.decode().split("\n")[:-1]), content)

    @property
    def spec(self) -> ListedSpec:
        """What a plan has of it."""
        return ListedSpec(sha256=self.sha256, users=len(self.values))


Lists = Mapping[str, UserList]
"""Lists by their digests."""


def as_context(lists: Lists) -> dict[str, Any]:
    """Return what a plan, or a part of one, is validated with so that it knows its users."""
    return {"user_lists": lists}


def from_context(context: Any, sha256: str) -> UserList | None:
    """Return a list that a plan is validated with; None: it is not there."""
    found = context.get("user_lists", {}).get(sha256) if isinstance(context, Mapping) else None
    return found if isinstance(found, UserList) else None


def digests_in(segments: Any) -> list[str]:
    """Return the digests of the lists that a plan's segments name, as a document has them."""
    listed = [spec.get("listed") for spec in segments.values()]
    return list(dict.fromkeys(each["sha256"] for each in listed if each))


def changed_files(before: Any, after: Any) -> list[str]:
    """Return the files whose lists are others in another plan, as documents have them."""
    old, new = (each.get("routing", {}).get("segments", {}) for each in (before, after))
    return sorted({spec["file"] for name, spec in new.items() if spec.get("listed") and name in old
                   and old[name].get("file") == spec["file"]
                   and old[name].get("listed") != spec["listed"]})


def parse(content: bytes) -> UserList:
    """Return the list that a file has: one value a line, without comments.

    Blanks around a value, empty lines and the ends of lines of Windows do not count, and neither
    does a value that is there twice.

    Raises:
        ValueError: It is no such list; the text names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = content[:error.start].count(b"\n") + 1
        raise ValueError(f"line {at} is not UTF-8 text") from None
    values = set()
    for number, line in enumerate(text.split("\n"), 1):
        value = line.removesuffix("\r").strip(" \t")
        if value:
            _refuse(number, value)
            values.add(value)
    if not values:
        raise ValueError("it has no users; one value a line is needed, or remove the segment")
    if len(values) > MOST_USERS:
        raise ValueError(f"it has {len(values):,} users; the limit is {MOST_USERS:,}; "
                         "use `prefix`, `suffix` or a cookie of your own for more")
    return UserList.of(values)


def _refuse(number: int, value: str) -> None:
    """Raise ValueError for a line that can be no user's value."""
    if value[0] == "#":
        raise ValueError(f"line {number} begins with #, and a list has no comments; remove the "
                         "line (a value that begins so can stand in `any_of`)")
    if len(value) > LONGEST_VALUE:
        raise ValueError(f"line {number} has {len(value)} signs; the limit is {LONGEST_VALUE}")
    if found := _CONTROL.search(value):
        raise ValueError(f"line {number} has the control character {ord(found[0]):#04x}; a line is "
                         "one value, with nothing beside it")

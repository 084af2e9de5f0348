"""Groups of a gate's checks: `any`, `all`, and `some: {at_least: 2, of: [...]}`. Pure.

A plan's model has the checks of a gate in one list, in the order of the file; a check of a group
knows its group (`MemberOf`). So whoever asks what is measured need not know of groups, and whoever
judges does.

A group has three answers, as a check has: it passes when enough of its checks pass, it fails when
so many failed that too few are left, and until then nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, GetCoreSchemaHandler, Tag, model_validator
from pydantic_core import CoreSchema, core_schema

from changeover.plan.conditions import CheckSpec, OnFail
from changeover.plan.fields import Part
from changeover.plan.membership import MemberOf
from changeover.plan.ranks import ScoreSpec

if TYPE_CHECKING:
    from changeover.plan.model import Plan

Location = tuple[str | int, ...]
PLAIN = "a check"
"""What an entry is that is no group; no key of a plan is called so."""
Members = Annotated[list[CheckSpec], Field(min_length=2)]


class AnyOf(Part):
    """A group of which one check must pass."""

    any: Members = Field(description="One of these checks must pass.")


class AllOf(Part):
    """A group of which every check must pass, as of a gate; for those who want to say it."""

    all: Members = Field(description="All of these checks must pass.")


class Some(Part):
    """Checks of which a number must pass."""

    at_least: int = Field(ge=1, description="So many of the checks must pass.")
    of: Members

    @model_validator(mode="after")
    def _are_enough(self) -> Some:
        if self.at_least > len(self.of):
            raise ValueError(f"at_least {self.at_least} of {len(self.of)} checks can never pass")
        return self


class SomeOf(Part):
    """A group of which a number of checks must pass."""

    some: Some


class Scored(ScoreSpec):
    """Checks of which a score is made."""

    of: Annotated[list[CheckSpec], Field(min_length=1)]

    @model_validator(mode="after")
    def _are_by_ranks(self) -> Scored:
        wrong = [check.metric for check in self.of if not check.is_by_minutes]
        if wrong:
            raise ValueError(f"a score is made of checks with `test: mann_whitney`; {wrong[0]} "
                             "has another")
        return self


class ScoreOf(Part):
    """A group of which the weighted share that passes must reach a number, as in Kayenta."""

    score: Scored


def _kind(entry: Any) -> str:
    """Return what an entry of a gate is: a check, or a group by its one key."""
    # with `metric` it is a check, even beside a group's key: the message is then about that key
    is_plain = not isinstance(entry, Mapping) or "metric" in entry
    for kind in ("any", "all", "some", "score"):
        if isinstance(entry, Part) and hasattr(entry, kind):
            return kind
        if not is_plain and kind in entry:
            return kind
    return PLAIN


Entry = Annotated[
    Annotated[CheckSpec, Tag(PLAIN)] | Annotated[AnyOf, Tag("any")]
    | Annotated[AllOf, Tag("all")] | Annotated[SomeOf, Tag("some")]
    | Annotated[ScoreOf, Tag("score")],
    Discriminator(_kind),
]


class Flat:
    """Lets a list of checks be written with groups; the model has the checks alone."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of entries, made flat afterwards."""
        return core_schema.no_info_after_validator_function(
            _flat, handler.generate_schema(Annotated[list[Entry], Field(min_length=1)]))


def _flat(entries: Sequence[Any]) -> list[CheckSpec]:
    found: list[CheckSpec] = []
    for number, entry in enumerate(entries):
        if isinstance(entry, CheckSpec):
            found.append(entry)
            continue
        kind = _kind(entry)
        members, needed = _members(entry)
        score = _score_of(entry.score) if isinstance(entry, ScoreOf) else None
        group = MemberOf(
            kind=kind, number=number, needed=needed, of=len(members), score=score)
        for check in members:
            if check.on_fail is OnFail.SHOW and score is None:
                raise ValueError(f"a check of `{kind}` cannot have on_fail: show, which decides "
                                 "nothing; put it beside the group")
            found.append(check.model_copy(update={"group": group}))
    return found


def _score_of(scored: Scored) -> ScoreSpec:
    return ScoreSpec.model_validate(scored.model_dump(by_alias=True, exclude={"of"}))


def _members(entry: AnyOf | AllOf | SomeOf | ScoreOf) -> tuple[list[CheckSpec], int]:
    """Return a group's checks and how many must pass."""
    if isinstance(entry, AnyOf):
        return entry.any, 1
    if isinstance(entry, AllOf):
        return entry.all, len(entry.all)
    if isinstance(entry, ScoreOf):
        return entry.score.of, len(entry.score.of)
    return entry.some.of, entry.some.at_least


def with_members(entry: Any, change: Callable[[Any], Any]) -> Any:
    """Return an entry of a document's gate with each of its checks changed.

    Args:
        entry: A check, or a group of them, whether it is right or not.
        change: Returns a check as it is to be.
    """
    # wrong forms are passed on as they are: validation says what is wrong with them
    if not isinstance(entry, Mapping) or "metric" in entry:
        return change(entry)
    found = dict(entry)
    for kind in ("any", "all"):
        if isinstance(entry.get(kind), list):
            found[kind] = [change(each) for each in entry[kind]]
    for kind in ("some", "score"):
        inner = entry.get(kind)
        if isinstance(inner, Mapping) and isinstance(inner.get("of"), list):
            found[kind] = {**inner, "of": [change(each) for each in inner["of"]]}
    return found


def place_in_document(plan: Plan, path: Location) -> Location:
    """Return where the document has a check that the model has at `path`.

    Args:
        plan: The plan.
        path: A path of the model, such as `gates.slo[3].over`; others come back unchanged.
    """
    if len(path) < 3 or path[0] != "gates" or not isinstance(path[2], int):
        return path
    # the model's checks are flat: those of one group follow each other, and are one entry here
    number, previous, member = -1, None, 0
    checks = plan.gates.get(str(path[1]), [])
    for check in checks[: path[2] + 1]:
        is_next = check.group is not None and check.group == previous
        number, member = (number, member + 1) if is_next else (number + 1, 0)
        previous = check.group
    inner: Location = ()
    if previous is not None:
        is_deep = previous.kind in ("some", "score")
        between = (previous.kind, "of") if is_deep else (previous.kind,)
        inner = (*between, member)
    return (*path[:2], number, *inner, *path[3:])


def shares(checks: Iterable[CheckSpec]) -> float:
    """Return among how many the allowed false alarms of some checks are to be shared.

    A group fails only when several of its checks fail, each of which may then be wrong more often:
    of n checks each at the level a, f fail with a chance of at most n·a/f (Markov). So n checks by
    evidence count as n/f. Checks that are judged otherwise may all be wrong, so f is what the
    others must fail beside them.

    Args:
        checks: All checks of one gate.
    """
    total, groups = 0.0, dict[int, list[CheckSpec]]()
    for check in checks:
        if check.group is None:
            total += check.is_sequential
        else:
            groups.setdefault(check.group.number, []).append(check)
    for members in groups.values():
        asked = sum(each.is_sequential for each in members)
        group = members[0].group
        if asked and group is not None:
            # where the others alone can fail it, one more decides: each check counts whole
            total += asked / max(1, group.fails_with - (len(members) - asked))
    return total

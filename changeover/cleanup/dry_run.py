"""The dry run: what a clean-up would move, and what it would leave and why. Changes nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from changeover.cleanup import patterns as pattern
from changeover.cleanup.handles import (
    Facts,
    beneath,
    facts_of,
    names_in,
    opened,
    walk,
)
from changeover.cleanup.patterns import Scope
from changeover.machine.escaped import escaped
from changeover.plan.procedures import RollbackSpec

DEEPEST = 64
"""Folders that `**` searches below each other; deeper ones move with the folder they are in."""

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder that may be moved: the root, the parts below it, and what it is."""

    root: Path
    parts: Parts
    facts: Facts
    entries: int
    size: int

    @property
    def path(self) -> str:
        """Where it is, on one line, fit for a log."""
        return escaped(self.root.joinpath(*self.parts))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that matches and is left where it is: a printable path and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What matches the patterns: to be moved, and left to a person."""

    found: tuple[Found, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What a clean-up may move.

    Args:
        roots: Folders under which may be cleaned up.
        patterns: Files and folders to clean up.
        since: When the candidate started. What existed before is not the candidate's and is left;
            a folder with anything older in it is left whole. None: nobody knows, all is left.
        any_age: Older things, too.
        base: The plan's folder, for what is relative.
        spared: Never moved, nor what is in them, nor what they are in; as the home directory.
    """

    roots: Sequence[str]
    patterns: Sequence[str]
    since: datetime | None
    any_age: bool = False
    base: Path | None = None
    spared: Sequence[Path] = ()

    @classmethod
    def of(
        cls, spec: RollbackSpec, *, base: Path, since: datetime | None, spared: Sequence[Path] = ()
    ) -> Cleanup:
        """Return what a plan's `rollback` says may be moved."""
        return cls(spec.roots, spec.cleanup, since, spec.any_age, base, spared)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be moved: nothing older than `since`, no root, nothing `spared`; real paths."""

    since: datetime | None
    any_age: bool
    roots: tuple[Path, ...]
    spared: tuple[Path, ...]


class Left(Exception):
    """Why something that matches is left; never seen outside this package."""


def survey(task: Cleanup) -> Survey:
    """Return what a clean-up would do now.

    Raises:
        InvalidInput: A root or a pattern is refused; nothing was examined.
    """
    scopes = pattern.scopes(task.roots, task.patterns, task.base)
    return survey_scopes(scopes, rules_of(scopes, task))


def rules_of(scopes: Sequence[Scope], task: Cleanup) -> Rules:
    """Return the rules for roots that were checked."""
    roots = tuple(scope.root for scope in scopes)
    # real paths: what is spared must be known by whatever way it is reached
    spared = tuple(Path(os.path.realpath(path)) for path in task.spared)
    return Rules(task.since, task.any_age, roots, spared)


def survey_scopes(scopes: Sequence[Scope], rules: Rules) -> Survey:
    """Return what is to be moved from roots that were checked."""
    matching: dict[Path, Found] = {}
    left: dict[str, Refusal] = {}
    for scope in scopes:
        for each in _matching(scope, rules):
            if isinstance(each, Found):
                # by path: two patterns may match the same thing
                matching[each.root.joinpath(*each.parts)] = each
            else:
                left.setdefault(each.path, each)
    # what lies in a folder that is moved goes with it
    outermost = []
    for path, each in matching.items():
        if matching.keys().isdisjoint(path.parents):
            outermost.append(each)
    return Survey(tuple(outermost), tuple(left.values()))


def _matching(scope: Scope, rules: Rules) -> Iterator[Found | Refusal]:
    try:
        with opened(scope.root) as root:
            for parts in scope.patterns:
                # `folder/**` means all that is below it, so its last part matches any name
                wanted = (*parts, "*") if parts[-1] == "**" else parts
                yield from _Search(scope.root, root, wanted, rules).run()
    except OSError as error:
        yield Refusal(escaped(scope.root), why(error))


class _Search:
    """Follows one pattern part by part; each folder is opened anew from the root, by no link."""

    def __init__(self, path: Path, root: int, wanted: Parts, rules: Rules) -> None:
        # places still to be searched: the folder, and which part of the pattern comes next there
        self.path, self.root, self.wanted, self.rules = path, root, wanted, rules
        self.to_see: list[tuple[Parts, int]] = [((), 0)]

    def run(self) -> Iterator[Found | Refusal]:
        """Yield everything that the pattern matches, judged."""
        # by place: `**` reaches the same folder in several ways
        mount, seen = facts_of(self.root).mount, set()
        while self.to_see:
            place = self.to_see.pop()
            if place in seen:
                continue
            seen.add(place)
            at, index = place
            try:
                with beneath(self.root, at, mount=mount) as folder:
                    for name in sorted(names_in(folder)):
                        yield from self._step(folder, (*at, name), index)
            # the candidate removed it since its parent was listed
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Refusal(escaped(self.path.joinpath(*at)), why(error))
            # `**` is also "no folder at all": the next part is looked for right here
            if self.wanted[index] == "**":
                self.to_see.append((at, index + 1))

    def _step(self, folder: int, at: Parts, index: int) -> Iterator[Found | Refusal]:
        """Judge one name: it is what the pattern ends with, a folder on the way, or nothing."""
        is_any = self.wanted[index] == "**"
        if not pattern.matches(at[-1], "*" if is_any else self.wanted[index]):
            return
        shown = escaped(self.path.joinpath(*at))
        try:
            facts = facts_of(folder, at[-1])
            if is_any:
                if facts.is_folder and len(at) <= DEEPEST:
                    self.to_see.append((at, index))
            elif index + 1 == len(self.wanted):
                yield self._judge(folder, at, facts)
            elif facts.is_folder:
                self.to_see.append((at, index + 1))
            elif facts.is_link:
                yield Refusal(shown, "is a symbolic link; links are not followed")
        except FileNotFoundError:
            return  # gone since the folder was listed
        except Left as left:
            yield Refusal(shown, str(left))
        except OSError as error:
            yield Refusal(shown, why(error))

    def _judge(self, folder: int, at: Parts, facts: Facts) -> Found:
        """Return what may be moved, with all that is in it.

        Raises:
            Left: It may not be moved.
            OSError: It cannot be read, or changed meanwhile.
        """
        path = self.path.joinpath(*at)
        _check_spared(path, self.rules)
        # another mount is another file system: it may hold anything, and a rename cannot leave it
        if facts.mount != facts_of(folder).mount:
            raise Left("is a mount point")
        if facts.is_link:
            _check_link(self.path, path, os.readlink(at[-1], dir_fd=folder))
        _check(facts, self.rules, "")
        if not facts.is_folder:
            return Found(self.path, at, facts, 1, facts.size)
        entries = size = 0
        # a folder moves with all that is in it, so all of that is judged first
        with beneath(folder, at[-1:], mount=facts.mount) as top:
            for entry in walk(top):
                if entry.is_left:
                    continue
                inside = f"{escaped(entry.name)} in it "
                if entry.facts.mount != facts.mount:
                    raise Left(f"{inside}is a mount point")
                _check(entry.facts, self.rules, inside)
                entries, size = entries + 1, size + entry.facts.size
        return Found(self.path, at, facts, entries + 1, size)


def _check_spared(path: Path, rules: Rules) -> None:
    for each in (*rules.roots, *rules.spared):
        if each == path:
            raise Left("is never moved")
        # moving a folder moves what is in it
        if each.is_relative_to(path):
            raise Left(f"holds {each}, which is never moved")
    if any(path.is_relative_to(each) for each in rules.spared):
        raise Left("lies in a folder that is never moved")


def _check(facts: Facts, rules: Rules, inside: str) -> None:
    if facts.is_device:
        raise Left(f"{inside}is a device")
    # the plan says that age does not matter; devices stay all the same
    if rules.any_age:
        return
    if rules.since is None:
        raise Left("nobody knows when the candidate started, so nobody knows whose it is")
    if facts.since < rules.since.timestamp():
        raise Left(f"{inside}existed before the candidate started "
                   f"at {rules.since:%F %T} UTC, so it is not the candidate's")


def _check_link(root: Path, path: Path, target: str) -> None:
    """A link is moved as a link, and only when it leads to somewhere under its root."""
    real = Path(os.path.realpath(path.parent / target))
    if not real.is_relative_to(root):
        raise Left(f"is a symbolic link that leads out, to {escaped(target)}")


def why(error: OSError) -> str:
    """Return for people why something could not be read or moved."""
    # what `O_NOFOLLOW` and `O_DIRECTORY` say of what is no folder any more
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "was replaced by a symbolic link or a file while it was examined"
    if error.errno == errno.EXDEV:
        return "is a mount point"
    return f"cannot be read: {error.strerror or error}"

"""What a plan's clean-up means: roots, patterns below them, and which of them are refused.

A pattern is a path whose parts may hold `*`, `?` and `[...]`, and `**` for any number of folders.
As in a shell, a name that begins with a dot is matched only by a part that does. Roots and patterns
are absolute, or relative to the plan. Nothing here touches what is under a root.
"""

from __future__ import annotations

import fnmatch
import os
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from changeover.errors import InvalidInput
from changeover.machine.escaped import escaped

QUARANTINE = ".changeover-quarantine"
"""The folder in each root that cleaned-up files are moved to."""

# relative to `/`; no candidate's files are ever there
_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run/systemd",
           "sbin", "sys", "usr")


@dataclass(frozen=True, slots=True)
class Scope:
    """A root and the patterns below it, each as its parts.

    Attributes:
        root: Where the root really is.
        patterns: Parts below the root; at least one each.
    """

    root: Path
    patterns: tuple[tuple[str, ...], ...]


def check_patterns(
    roots: Sequence[str], patterns: Sequence[str], *, base: Path | None = None
) -> list[str]:
    """Return one sentence for each root or pattern that can never be cleaned up.

    Args:
        roots: Folders under which may be cleaned up.
        patterns: Files and folders to clean up; each must lie below a root.
        base: The plan's folder, for what is relative; None allows absolute ones only.
    """
    return _read(roots, patterns, base)[1]


def scopes(
    roots: Sequence[str], patterns: Sequence[str], base: Path | None
) -> list[Scope]:
    """Return the roots that exist with their patterns.

    Raises:
        InvalidInput: A root or a pattern is refused; every problem is named.
    """
    found, problems = _read(roots, patterns, base)
    if problems:
        raise InvalidInput(
            "nothing was cleaned up because " + "; ".join(problems), where="rollback",
            allowed="folders of the candidate as `roots`, and `cleanup` patterns below them",
        )
    # a root that is missing has nothing to clean up: the candidate may not have made it yet
    return [scope for scope in found if scope.root.is_dir()]


def _read(
    roots: Sequence[str], patterns: Sequence[str], base: Path | None
) -> tuple[list[Scope], list[str]]:
    problems: list[str] = []
    known: dict[Path, Path] = {}
    below: dict[Path, list[tuple[str, ...]]] = {}
    for text in roots:
        path, problem = _absolute(text, base)
        # Where its parent really is, resolved once: what is judged is what is opened later. The
        # last name is not resolved: should a link take its place, opening it fails.
        real = Path(os.path.realpath(path.parent)) / path.name
        problem = problem or _unfit(path, real)
        if problem:
            problems.append(f"root {escaped(text)} {problem}")
        else:
            known[path] = real
    for text in patterns:
        path, problem = _absolute(text, base)
        # roots may lie in each other: the innermost one is meant
        holders = [each for each in known if path.is_relative_to(each)]
        root = max(holders, key=lambda each: len(each.parts), default=None)
        problem = problem or _outside(path, root)
        if problem or root is None:
            problems.append(f"pattern {escaped(text)} {problem}")
        else:
            below.setdefault(root, []).append(path.parts[len(root.parts):])
    return [Scope(real, tuple(below.get(path, ()))) for path, real in known.items()], problems


def _absolute(text: str, base: Path | None) -> tuple[Path, str]:
    """Return the path that a text means and why it is none, empty when it is one."""
    path = Path(text)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return Path("/"), "is no text that a file can be called"
    if not text or "\0" in text:
        return Path("/"), "is empty" if not text else "has a zero byte"
    # refused, not resolved: `..` behind a link leads somewhere else than it seems to
    if ".." in path.parts:
        return path, "has `..`; write the path that is meant"
    # only a shell knows what `~` is; here it would be a folder of that name
    if text.startswith("~"):
        return path, "begins with `~`; write the path in full"
    if not path.is_absolute():
        if base is None:
            return path, "is relative, and the plan's folder is not known"
        path = base.absolute() / path
    return Path(os.path.normpath(path)), ""  # `//x` and `/./x` become `/x`


def _unfit(path: Path, real: Path) -> str:
    """Return why a folder is no root, empty when it may be one; one that is missing may."""
    if any(sign in str(path) for sign in "*?["):
        return "has a wildcard; only patterns may"
    if path.is_symlink():
        return "is a symbolic link; name the folder that it leads to"
    if path.exists() and not path.is_dir():
        return "is no folder"
    # both as it was written and as it really is: a link in it must not hide the home directory
    for place in {path, real}:
        if place == Path("/"):
            return "is the whole machine"
        if len(place.parts) == 2:
            return f"is {place}, which belongs to all programs; name the candidate's folder"
        if any(place.is_relative_to(f"/{name}") for name in _SYSTEM):
            return "belongs to the system"
        if problem := _of_homes(place):
            return problem
        if QUARANTINE in place.parts:
            return "is in a quarantine"
    return ""


def _of_homes(place: Path) -> str:
    """Return which home directory a folder is or holds, empty when there is none."""
    for home in _homes():
        if home == place:
            return "is a home directory"
        if home.is_relative_to(place):
            return f"holds the home directory {home}"
    return ""


def _homes() -> Iterator[Path]:
    for text in (os.environ.get("HOME", ""), *(entry.pw_dir for entry in pwd.getpwall())):
        # some accounts of the system have `/` or nothing as their home
        if text.startswith("/") and text.strip("/"):
            yield Path(os.path.normpath(text))


def _outside(path: Path, root: Path | None) -> str:
    """Return why a pattern is refused although it is a path."""
    if root is None:
        return "lies under none of the roots"
    if path == root:
        return "is the root itself; name what is in it, as `*`"
    return "is the quarantine" if QUARANTINE in path.parts else ""


def matches(name: str, part: str) -> bool:
    """Whether a name fits one part of a pattern."""
    if name == QUARANTINE or (name.startswith(".") and not part.startswith(".")):
        return False
    return fnmatch.fnmatchcase(name, part)

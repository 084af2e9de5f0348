"""Which roots and patterns a plan may name, before anything is touched."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.cleanup import QUARANTINE, check_patterns
from changeover.cleanup.patterns import matches, scopes
from changeover.errors import InvalidInput
from changeover.machine.escaped import escaped

ROOT = "/srv/changeover-test/cache"  # does not exist; a candidate that never ran made none
NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)),
                min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))


@pytest.mark.parametrize(("root", "reason"), [
    ("/", "is the whole machine"),
    ("//", "is the whole machine"),
    ("/tmp", "is /tmp, which belongs to all programs"),  # noqa: S108
    ("/tmp/../etc", "has `..`"),  # noqa: S108
    ("/etc/app", "belongs to the system"),
    ("/usr/lib/app", "belongs to the system"),
    ("/proc/1", "belongs to the system"),
    ("~/cache", "begins with `~`"),
    ("/srv/*/cache", "has a wildcard"),
    ("", "is empty"),
    ("/srv/a\0b", "has a zero byte"),
    ("/srv/\ud800", "is no text"),
    (f"/srv/app/{QUARANTINE}/x", "is in a quarantine"),
    ("cache", "is relative, and the plan's folder is not known"),
], ids=lambda value: escaped(value)[:20] or "empty")
def test_root_that_is_not_the_candidates_is_refused(root: str, reason: str) -> None:
    """No plan can have the machine, a system folder or everybody's folder cleaned up."""
    problems = check_patterns([root], [])
    assert len(problems) == 1 and reason in problems[0]


def test_home_directory_is_no_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a home directory nor what holds one; a folder in one is fine."""
    monkeypatch.setenv("HOME", str(tmp_path / "homes" / "ana"))
    assert "is a home directory" in check_patterns([str(tmp_path / "homes/ana")], [])[0]
    assert "holds the home directory" in check_patterns([str(tmp_path / "homes")], [])[0]
    assert check_patterns([str(tmp_path / "homes/ana/app/cache")], []) == []


def test_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """A link could be turned elsewhere at any time."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert "is a symbolic link" in check_patterns([str(tmp_path / "link")], [])[0]


def test_root_through_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    """`/x/link/ssl` is /etc/ssl when the link leads to /etc, and refused as such."""
    (tmp_path / "link").symlink_to("/etc")
    assert "belongs to the system" in check_patterns([str(tmp_path / "link/ssl")], [])[0]


@pytest.mark.parametrize(("pattern", "reason"), [
    (ROOT, "is the root itself"),
    (f"{ROOT}/", "is the root itself"),
    (f"{ROOT}/.", "is the root itself"),
    (f"{ROOT}/../other/*", "has `..`"),
    (f"{ROOT}/a/../../b", "has `..`"),
    ("/srv/changeover-test/*", "lies under none of the roots"),
    ("/srv/changeover-test/cache2/x", "lies under none of the roots"),
    ("/srv/*/cache/x", "lies under none of the roots"),
    (f"{ROOT}/{QUARANTINE}/*", "is the quarantine"),
    ("*.tmp", "is relative"),
])
def test_pattern_that_could_leave_its_root_is_refused(pattern: str, reason: str) -> None:
    """Every pattern begins with a root's own path and goes down from there."""
    problems = check_patterns([ROOT], [pattern])
    assert len(problems) == 1 and reason in problems[0]


def test_relative_root_and_pattern_are_beside_the_plan(tmp_path: Path) -> None:
    """`work` and `work/*` in a plan mean the folder beside it, wherever the command runs."""
    (tmp_path / "work").mkdir()
    found = scopes(["work"], ["work/*.tmp", "./work/a/**"], tmp_path)
    assert [(scope.root, scope.patterns) for scope in found] == [
        (tmp_path / "work", (("*.tmp",), ("a", "**")))]


def test_every_problem_is_named_at_once() -> None:
    """A person mends a plan once."""
    with pytest.raises(InvalidInput) as caught:
        scopes(["/", ROOT], ["/x/y", f"{ROOT}/../z"], None)
    assert all(part in str(caught.value) for part in ("root /", "pattern /x/y", "has `..`"))


@given(st.lists(st.one_of(NAMES, st.sampled_from(["..", ".", "*", "**", ""])), max_size=6))
def test_no_accepted_pattern_leads_out_of_its_root(parts: list[str]) -> None:
    """Whatever a pattern is made of: refused, or each of its parts goes down from the root."""
    text = "/".join([ROOT, *parts])
    if check_patterns([ROOT], [text]):
        return
    normal = os.path.normpath(text)
    assert PurePosixPath(normal).is_relative_to(ROOT) and normal != ROOT
    assert ".." not in parts


@given(NAMES, NAMES)
def test_hidden_names_are_matched_only_when_meant(name: str, part: str) -> None:
    """As in a shell, `*` is not `.*`; the quarantine is matched by nothing."""
    if name.startswith(".") and matches(name, part):
        assert part.startswith(".")
    assert not matches(QUARANTINE, part)


@given(st.binary(min_size=1, max_size=20))
def test_printable_path_is_one_line_that_tells_any_name(raw: bytes) -> None:
    """Names of any bytes stay apart in a log and never break its line."""
    shown = escaped(os.fsdecode(raw))
    assert shown.isprintable()
    back = shown.encode().decode("unicode_escape", "surrogateescape") if shown.isascii() else None
    assert back is None or back.encode("latin-1") == raw

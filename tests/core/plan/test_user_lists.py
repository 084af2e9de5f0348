"""Segments whose users stand in a file: what such a file is, and what it is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.errors import InvalidPlan
from changeover.plan.amending import changes, refusals
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.plan.user_lists import MOST_USERS, UserList, parse
from changeover.store import plans
from tests.core.plan.test_load import GOOD

LISTED = GOOD.replace("any_of: [beta]", "file: beta.txt")


def planned(folder: Path, content: bytes | None, text: str = LISTED) -> Plan:
    """Return the plan whose file of users has this content; None: there is no such file."""
    (folder / "own.yaml").write_text(text)
    if content is not None:
        (folder / "beta.txt").write_bytes(content)
    return load_plan(folder / "own.yaml")


def refusal(folder: Path, content: bytes | None, text: str = LISTED) -> str:
    """Return the one problem that a plan is refused for."""
    with pytest.raises(InvalidPlan) as refused:
        planned(folder, content, text)
    assert len(refused.value.problems) == 1, refused.value.problems
    return refused.value.problems[0]


def test_who_is_listed_is_in_the_segment_and_nobody_else(tmp_path: Path) -> None:
    """The whole value counts, and its case; the document has no user, only what a list is told by.
    """
    plan = planned(tmp_path, b"user-1\nuser-2\n", LISTED.replace("x-cohort", "x-user-id"))
    found = {key: plan.routing.segments_of(key) for key in ("user-1", "user-2", "user", "User-1")}
    assert found == {"user-1": {"beta"}, "user-2": {"beta"}, "user": set(), "User-1": set()}
    assert plan.routing.segments["beta"].title == "x-user-id: one of 2 in beta.txt"
    assert "user-1" not in plan.model_dump_json()


@pytest.mark.parametrize("content", [
    b"a\nb c\n\xc3\xa9", b"a\r\nb c\r\n\xc3\xa9\r\n", b"\xef\xbb\xbf\xc3\xa9\nb c\na\n",
    b"\n a\t\n\nb c\na\na\n\xc3\xa9\n\n"],
    ids=["plain", "of Windows", "byte order mark", "blanks and doubles"])
def test_the_same_users_are_the_same_list(tmp_path: Path, content: bytes) -> None:
    """Ends of lines, blanks, order, and what is there twice do not count."""
    plan = planned(tmp_path, content)
    assert plan.routing.segments["beta"].users == UserList.of(["a", "b c", "é"])


@pytest.mark.parametrize(("content", "told"), [
    (None, "beta.txt cannot be read in"),
    (b"", "beta.txt: it has no users; one value a line is needed, or remove the segment"),
    (b" \n\r\n", "beta.txt: it has no users"),
    (b"a\n# staff\nb\n", "beta.txt: line 2 begins with #, and a list has no comments"),
    (b"a\n" + b"b" * 201, "beta.txt: line 2 has 201 signs; the limit is 200"),
    (b"a\tAnna\n", "beta.txt: line 1 has the control character 0x09"),
    (b"a\rb\n", "beta.txt: line 1 has the control character 0x0d"),
    (b"a\n\xe9\n", "beta.txt: line 2 is not UTF-8 text"),
    (b"".join(b"%d\n" % n for n in range(MOST_USERS + 1)),
     "beta.txt: it has 100,001 users; the limit is 100,000"),
    (b"a" * (25 << 20), "beta.txt has 26214400 bytes; the limit is 25165824"),
], ids=["missing", "empty", "blank", "comment", "long", "two columns", "old Mac", "not UTF-8",
        "too many", "too large"])
def test_other_files_are_refused_with_their_place(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    """The plan's line, the key, the file, its line, and what is allowed."""
    found = refusal(tmp_path, content)
    assert found.startswith("line 7, routing.segments.beta.file: ")
    assert told in found


def test_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    """A link that leads out of the plan's folder, a folder, and an environment's own file."""
    (tmp_path / "elsewhere").write_text("a\n")
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "beta.txt").symlink_to(tmp_path / "elsewhere")
    assert "beta.txt leads outside the plan's folder" in refusal(folder, None)
    (folder / "beta.txt").unlink()
    (folder / "beta.txt").mkdir()
    assert "beta.txt is no file" in refusal(folder, None)


def test_an_environment_may_have_another_list(tmp_path: Path) -> None:
    """Each is read from its own file; the problem of one is told at its own line."""
    text = LISTED + "environments: {testing: {routing: {segments: {beta: {file: few.txt}}}}}\n"
    plan = planned(tmp_path, b"a\nb\n", text)
    with pytest.raises(InvalidPlan, match=r"line 17, environments\.testing\.routing"):
        load_plan(tmp_path / "own.yaml", "testing")
    (tmp_path / "few.txt").write_text("c\n")
    testing = load_plan(tmp_path / "own.yaml", "testing")
    assert testing.routing.segments["beta"].users.values == {"c"}
    assert plan.routing.segments["beta"].users.values == {"a", "b"}
    assert plan.environments == testing.environments


def test_other_users_are_another_plan_and_no_change_for_a_running_cutover(tmp_path: Path) -> None:
    """As when the test of any segment changes; the message names the file."""
    old, same, new = (planned(tmp_path, content) for content in (b"a\n", b"a\r\n", b"a\nb\n"))
    assert plans.digest_of(old) == plans.digest_of(same) != plans.digest_of(new)
    assert changes(old, same) == []
    (why,) = refusals(old, new, ["beta-5"])
    assert why.startswith("routing cannot be changed while a cutover runs")
    assert why.endswith("the users in beta.txt are others than those that it began with")


def test_a_plan_read_without_its_lists_decides_about_nobody(tmp_path: Path) -> None:
    """It fails instead of answering that somebody is not listed."""
    document = planned(tmp_path, b"a\n").model_dump(mode="json", by_alias=True)
    with pytest.raises(RuntimeError, match=r"the list of users in beta\.txt was not read"):
        _ = Plan.model_validate(document).routing.segments["beta"].users


@given(values=st.lists(st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
        lambda value: value.strip(" ") and value.strip(" ")[0] != "#"), min_size=1, max_size=30))
def test_what_is_written_is_read(values: list[str]) -> None:
    """A list's content is the list, whatever values it has."""
    found = parse("\n".join(values).encode())
    assert found.values == {value.strip(" ") for value in values}
    assert parse(found.content) == UserList.restored(found.content, found.sha256) == found
    with pytest.raises(ValueError, match="not the list"):
        UserList.restored(found.content + b"x\n", found.sha256)


def test_nobody_is_named_where_a_list_is_shown() -> None:
    """Messages, logs and failing tests have `repr`."""
    found = UserList.of(["ann", "eve"])
    assert "ann" not in f"{found!r}"
    assert (found.content, UserList.restored(found.content, found.sha256)) == (b"ann\neve\n", found)

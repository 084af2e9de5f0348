"""Where a plan may have reports copied to, and what its messages never repeat."""

from __future__ import annotations

from datetime import timedelta

import pytest

from changeover.errors import InvalidPlan
from changeover.plan.load import parse_plan
from changeover.plan.targets import protocol_of
from tests.core.plan.test_load import GOOD

SECRET = "hunter2-and-more"


def with_target(target: str) -> str:
    return f"{GOOD}\nreports: {{target: '{target}'}}\n"


@pytest.mark.parametrize("target", [
    "reports-elsewhere", "/srv/reports", "../beside", "s3://bucket/changeover",
    "sftp://deploy@files.example:2222/changeover", "file:///srv/changeover",
    "abfs://box@account.dfs.core.windows.net/changeover", "FTP://files.example/x"])
def test_folders_and_addresses_are_targets(target: str) -> None:
    """A user may stand in an address; a folder is as it is."""
    spec = parse_plan(with_target(target), "plan.yaml").reports
    assert spec is not None and spec.target == target
    assert spec.within == timedelta(seconds=20)


@pytest.mark.parametrize(("target", "said"), [
    (f"ftp://user:{SECRET}@files.example/x", "FSSPEC_SFTP_PASSWORD"),
    (f"s3://AKIA1234:{SECRET}@bucket/x", "AWS_SECRET_ACCESS_KEY"),
    ("ftp://user:@files.example/x", "has a password"),
    (f"s3://bucket/x?token={SECRET}", "`?`"),
    ("simplecache::s3://bucket/x", "`::`"),
    ("s3://bucket/../other", "`..`"),
    ("https://example.org/reports", "web page"),
    ("", "no place for files"),
    (" s3://bucket", "no place for files"),
    ("s3://[bucket", "cannot be read"),
    ("my_own://bucket", "cannot be read"),
])
def test_what_is_no_target_is_refused_in_one_message(target: str, said: str) -> None:
    """It says where, what is allowed and what to do, and never what it found."""
    with pytest.raises(InvalidPlan) as caught:
        parse_plan(with_target(target), "plan.yaml")
    text = str(caught.value)
    assert "reports.target" in text and said in text
    assert SECRET not in text and "AKIA" not in text


@pytest.mark.parametrize(("target", "said"), [
    (f"ftp://user:{SECRET}@files.example/x", "FSSPEC_SFTP_PASSWORD"),
    ("https://example.org/backups", "web page")])
def test_backups_have_targets_as_reports_do(target: str, said: str) -> None:
    """The same places are allowed, and the same refused."""
    with pytest.raises(InvalidPlan, match=r"backup\.target") as caught:
        parse_plan(f"{GOOD}\ncutover: {{backup: {{target: '{target}'}}}}\n", "plan.yaml")
    assert said in str(caught.value) and SECRET not in str(caught.value)
    text = f"{GOOD}\ncutover: {{backup: {{target: 's3://bucket/backups', within: 2h}}}}\n"
    found = parse_plan(text, "plan.yaml").cutover.backup
    assert found is not None and found.longest_copying == timedelta(hours=2)


def test_a_line_end_in_a_target_is_refused() -> None:
    """It would become a line of its own in a log."""
    with pytest.raises(InvalidPlan, match="no place for files"):
        parse_plan(f'{GOOD}\nreports: {{target: "s3://bucket\\nx"}}\n', "plan.yaml")


@pytest.mark.parametrize("within", ["0s", "11m", "-1s"])
def test_a_try_has_a_bound(within: str) -> None:
    """A second at least, ten minutes at most."""
    with pytest.raises(InvalidPlan, match=r"reports\.within"):
        parse_plan(f"{GOOD}\nreports: {{target: x, within: {within}}}\n", "plan.yaml")


def test_a_plan_that_says_nothing_is_the_plan_that_it_was() -> None:
    """No default of new keys stands in it: its digest, which flows compare, stays."""
    said = parse_plan(GOOD, "plan.yaml").model_dump(mode="json", by_alias=True, exclude_none=True)
    backed = parse_plan(f"{GOOD}\ncutover: {{backup: {{}}}}\n", "plan.yaml").cutover.backup
    assert backed is not None and set(backed.model_dump(exclude_none=True)) == {
        "target", "databases", "folders", "store"}
    assert "reports" not in said and "reports" not in said["retention"]


def test_reports_stay_for_400_days_unless_the_plan_says_how_long() -> None:
    """The default stands in one place."""
    plan = parse_plan(f"{GOOD}\nretention: {{reports: 30d}}\n", "plan.yaml")
    assert plan.retention.of_reports == timedelta(days=30)
    assert parse_plan(GOOD, "plan.yaml").retention.of_reports == timedelta(days=400)


def test_a_windows_path_is_no_protocol() -> None:
    """Two slashes make an address."""
    assert [protocol_of(each) for each in ("c:/x", "S3://b", "a/b://c")] == ["", "s3", ""]

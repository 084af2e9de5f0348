"""Real programs: no shell, an end to all that they start, and nothing of ours in their hands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from changeover.domain.readings import Reading
from tests.support.external import asked
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration


def ask(command: list[str], folder: Path, source: dict[str, Any] | None = None,
        **metric: Any) -> Reading:
    """Ask a program."""
    whole = {"kind": "command", "timeout": "30s", "retries": 0, **(source or {})}
    return asked(whole, {"command": command, **metric}, folder)


def shell(script: str, folder: Path, **source: Any) -> Reading:
    return ask(["sh", "-c", script], folder, source)


def test_a_number_or_json_is_read(tmp_path: Path) -> None:
    """As the program prints it."""
    assert ask(["echo", " 0.5 "], tmp_path).value == 0.5
    printed = '{"a": [1, {"rate": 0.25, "n": 7}]}'
    found = ask(["echo", printed], tmp_path, value="$.a[1].rate", samples="$.a[1].n")
    assert (found.value, found.samples) == (0.25, 7)


def test_no_shell_reads_values(tmp_path: Path) -> None:
    """A name with a semicolon is one word of the program's."""
    source = {"names": {"candidate": "$(touch broken); exit 3"}}
    script = 'test "$1" = \'$(touch broken); exit 3\' && echo 1'
    assert ask(["sh", "-c", script, "sh", "{system}"], tmp_path, source).value == 1
    assert not (tmp_path / "broken").exists()


def test_the_program_runs_beside_the_plan(tmp_path: Path) -> None:
    """Or in the folder that the source says."""
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "now").write_text("3")
    assert ask(["cat", "rates/now"], tmp_path).value == 3
    assert ask(["cat", "now"], tmp_path, {"directory": "rates"}).value == 3


@pytest.mark.parametrize(("script", "said"), [
    ("exit 3", "it ended with 3"), ("echo no route >&2; exit 1", "it ended with 1: no route"),
    ("true", "the value is empty"), ("echo many", "the value is no number: 'many'"),
    ("echo nan", "the value is NaN"), ("kill -9 $$", "it ended with -9"),
    ("yes", "it printed more than 64 kB"), ("yes >&2 & sleep 600", "did not end within 2 s"),
])
def test_a_program_that_says_no_number_is_no_value(
    tmp_path: Path, script: str, said: str
) -> None:
    """Also one that prints for ever."""
    assert said in shell(script, tmp_path, timeout="2s").problem


@pytest.mark.parametrize("command", [["no-such-program"], ["/"], ["echo\0"]])
def test_a_program_that_cannot_start_is_no_value(tmp_path: Path, command: list[str]) -> None:
    """The reason is the system's."""
    assert "cannot be started" in ask(command, tmp_path).problem


@pytest.mark.parametrize("script", [
    "sleep 600 & echo $! > child; sleep 600", "sleep 600 & echo $! > child; echo 1",
    "setsid sleep 600 & echo $! > child; sleep 600", "trap '' TERM; sh -c 'echo $$ > child; "
    "trap \"\" TERM HUP; while true; do sleep 1; done'"])
def test_nothing_that_it_started_stays(tmp_path: Path, script: str) -> None:
    """Neither after its time is over nor after it ended well."""
    shell(script, tmp_path, timeout="3s")
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not psutil.pid_exists(child)
             or psutil.Process(child).status() == psutil.STATUS_ZOMBIE, seconds=5)


def test_it_gets_only_the_variables_that_the_plan_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others may read stays with them, and a secret that it prints is hidden."""
    monkeypatch.setenv("SHOP_TOKEN", "s3cret-token")
    monkeypatch.setenv("OTHER_SECRET", "s3cret-other")
    assert shell("env > seen; echo 1", tmp_path, env=["SHOP_TOKEN"]).value == 1
    seen = (tmp_path / "seen").read_text()
    assert "s3cret-token" in seen
    assert "s3cret-other" not in seen
    assert f"PATH={os.environ['PATH']}" in seen
    said = shell("echo denied: $SHOP_TOKEN >&2; exit 1", tmp_path, env=["SHOP_TOKEN"]).problem
    assert said == "it ended with 1: denied: ***"
    printed = shell("echo $SHOP_TOKEN", tmp_path, env=["SHOP_TOKEN"]).problem
    assert "s3cret" not in printed
    monkeypatch.delenv("SHOP_TOKEN")
    assert "SHOP_TOKEN is not set" in shell("echo 1", tmp_path, env=["SHOP_TOKEN"]).problem

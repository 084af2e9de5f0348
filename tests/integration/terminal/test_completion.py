"""Tab in the real shells: commands, options, and names that only the plan knows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from changeover.cli.completion import SHELLS, VARIABLE
from changeover.site.home import HOME_VARIABLE
from tests.integration.conftest import make_plan
from tests.integration.terminal.conftest import Prepare, opened
from tests.support.processes import ROOT

pytestmark = pytest.mark.integration
STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(changeover completion bash)"'),
    "zsh": (["zsh", "-f", "-i"],
            'autoload -Uz compinit; compinit -u -D; eval "$(changeover completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "changeover completion fish | source"),
}
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PHASES = [{"phase": "gradual", "stages": [{"percent": 10, "soak": 0}, {"percent": 25, "soak": 0}]}]


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_stage_in_a_real_shell(prepare: Prepare, shell: str) -> None:
    """What was begun is completed on the line that a person types."""
    home = prepare(make_plan(phases=PHASES)).home.root
    command, setup = STARTS[shell]
    environment = {"PATH": PATH, HOME_VARIABLE: str(home)}
    with opened(command, columns=120, **environment) as terminal:
        # in two parts: what is typed must not be taken for what is said
        terminal.type(f'{setup}; echo "LOAD""ED"\n')
        terminal.read_until("LOADED")
        terminal.type("changeover skip-st\tgradual-2\t")
        terminal.read_until("gradual-25")


def completed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
              *words: str) -> list[str]:
    """Return what bash would offer for the last word."""
    monkeypatch.setenv("COMP_WORDS", " ".join(["changeover", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setenv(VARIABLE, "bash_complete")
    from changeover.cli.main import main

    with pytest.raises(SystemExit):
        main([])
    said = capsys.readouterr().out.split()
    return [line.partition(",")[2] for line in said]


@pytest.mark.parametrize(("words", "offered"), [
    (["hi"], ["history"]),
    (["status", "--wa"], ["--watch"]),
    (["wait", "--for", "gradual"], ["gradual-10", "gradual-25"]),
    (["wait", "--for", "ro"], ["rolled-back"]),
    (["flags", "show", ""], ["use_it"]),
    (["validate", "s"], ["smoke"]),
    (["status", "--migration", ""], ["bench"]),
    (["export", "--format", ""], ["csv", "parquet"]),
    (["export", "sa"], ["samples"]),
    (["plan", "show", str(ROOT / "plans" / "invoices.yaml"), "--env", "te"], ["testing"]),
    (["up", "--plan", str(ROOT / "plans" / "invoices.yaml"), "--env", "te"], ["testing"]),
    (["plan", "estimate", str(ROOT / "plans" / "invoices.yaml"), "--segment", ""], ["beta="]),
])
def test_names_of_the_plan_are_offered(
    prepare: Prepare, words: list[str], offered: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stages, flags, suites, migrations, tables."""
    smoke = [{"kind": "http", "of": "candidate", "path": "/"}]
    site = prepare(make_plan(phases=PHASES, flags={"use_it": True}, suites={"smoke": smoke}))
    monkeypatch.setenv(HOME_VARIABLE, str(site.home.root))
    assert completed(capsys, monkeypatch, *words) == offered


def test_where_nothing_was_started_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error would stand in the line that a person types."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert completed(capsys, monkeypatch, "wait", "--for", "p") == []


def test_an_unknown_shell_is_refused(prepare: Prepare) -> None:
    from changeover.cli.main import main

    assert main(["completion", "tcsh"]) == 2


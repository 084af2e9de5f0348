"""Commands as a person types them, in this process: to start one for each takes a second."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from changeover.cli.main import main


def changeover(home: Path, *arguments: str, code: int = 0) -> str:
    """Run a command, check its exit code, and return what it says."""
    return plain(*arguments, "--home", str(home), code=code)


def plain(*arguments: str, code: int = 0) -> str:
    """Do the same with a command that is given its home itself, or has none."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        ended = main([*arguments])
    text = said.getvalue()
    assert ended == code, text
    return text

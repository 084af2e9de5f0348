"""Working copies of the project: clone, diff, build. What agents and the tracker's own build share.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUILD_SECONDS = 60.0
GIT_SECONDS = 30.0
BUILD_FILE = "build.py"
# nobody's own settings: a hook or a signature would make another commit of the same work
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "agents", "GIT_AUTHOR_EMAIL": "agents@example.com",
    "GIT_COMMITTER_NAME": "agents", "GIT_COMMITTER_EMAIL": "agents@example.com",
    # what is cloned is on this machine
    "no_proxy": "127.0.0.1",
}


class WorkFailed(Exception):
    """Git refused something; the text is its own."""


def git(folder: Path, *arguments: str, text: str | None = None) -> str:
    """Run git in a folder and return what it prints.

    Args:
        folder: Where.
        arguments: Its arguments.
        text: What it reads.

    Raises:
        WorkFailed: It ended with an error, or not in time.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, input=text, capture_output=True, text=True,
            check=False, timeout=GIT_SECONDS, env={**os.environ, **_ENVIRONMENT})
    except subprocess.TimeoutExpired:
        raise WorkFailed(f"git {arguments[0]} took longer than {GIT_SECONDS:g} s") from None
    if done.returncode:
        raise WorkFailed(f"git {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def build(folder: Path) -> str:
    """Build and test a working copy; return what is wrong, '' for nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", BUILD_FILE], cwd=folder, capture_output=True, text=True,
            check=False, timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the build took longer than {BUILD_SECONDS:g} s"
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-300:] or "it failed"


class Workspace:
    """Fresh working copies of a repository that is cloned once.

    Args:
        origin: Address or folder of the repository.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._kept: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """Yield a working copy of the newest commit that was cloned; removed at the end.

        Raises:
            WorkFailed: The repository does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="issue-") as folder:
            git(Path(folder), "clone", "-q", "--shared", self._cloned(), "work")
            yield Path(folder) / "work"

    def _cloned(self) -> str:
        """Return the folder of our own clone, made when it is needed first."""
        with self._lock:
            if self._kept is None:
                kept = tempfile.TemporaryDirectory(prefix="agents-")
                git(Path(kept.name), "clone", "-q", "--bare", self._origin, "project.git")
                self._kept = kept
            return str(Path(self._kept.name) / "project.git")


def diff(folder: Path) -> str:
    """Return what was changed in the files of a working copy, as a patch; '' for nothing."""
    return git(folder, "diff")

"""A candidate's folder to clean up, with something precious beside it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from changeover import cleanup, clock
from changeover.cleanup.handles import facts_of, opened

PRECIOUS = "the baseline's"


@dataclass
class Place:
    """`root` is the candidate's; `outside` must never change, whatever is tried."""

    root: Path
    outside: Path
    patterns: list[str] = field(default_factory=lambda: ["*"])

    @property
    def wanted(self) -> list[str]:
        return [f"{self.root}/{pattern}" for pattern in self.patterns]

    def survey(self, **options: object) -> cleanup.Survey:
        return cleanup.survey(self.task(**options))

    def quarantine(self, name: str = "n", **options: object) -> tuple[cleanup.Survey, list[str]]:
        return cleanup.quarantine(self.task(**options), name)

    def task(self, **options: object) -> cleanup.Cleanup:
        given = {"since": None, "any_age": True, **options}
        return cleanup.Cleanup([str(self.root)], self.wanted, **given)

    def bring_back(self, name: str = "n") -> cleanup.BroughtBack:
        return cleanup.bring_back([str(self.root)], name)

    def file(self, name: str, content: str = "x") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def tree(self) -> dict[str, str]:
        """Everything under the root but the quarantine."""
        return tree_of(self.root)

    def is_untouched(self) -> bool:
        return tree_of(self.outside) == {"precious": PRECIOUS, "folder": "folder",
                                         "folder/precious": PRECIOUS}


def tree_of(top: Path) -> dict[str, str]:
    """Return what is under a folder by path, with contents; no link is followed."""
    found: dict[str, str] = {}
    for folder, names, files in os.walk(top):
        if cleanup.QUARANTINE in names:
            names.remove(cleanup.QUARANTINE)
        for name in [*names, *files]:
            path = Path(folder) / name
            found[os.fsdecode(str(path.relative_to(top)))] = (
                f"-> {path.readlink()}" if path.is_symlink() else
                path.read_text() if path.is_file() else "folder" if path.is_dir() else "other")
    return found


def birth(path: Path) -> float:
    """Return when a file was born."""
    with opened(path.parent) as folder:
        return facts_of(folder, path.name).since


def later_than(path: Path) -> datetime:
    """Return a moment after a file's birth, once the file system's clock has passed it."""
    probe = path.with_name(".probe")
    while True:
        probe.write_text("")
        born = birth(probe)
        probe.unlink()
        if born > birth(path):
            return clock.from_timestamp(born)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty root, and beside it what must never change."""
    found = Place(tmp_path / "root", tmp_path / "outside")
    found.root.mkdir()
    (found.outside / "folder").mkdir(parents=True)
    for name in ("precious", "folder/precious"):
        (found.outside / name).write_text(PRECIOUS)
    return found


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mount for real: `mount("--bind", source, target)`; needs root, else the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    mounted: list[str] = []

    def do(*arguments: object) -> None:
        command = ["mount", *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"this machine does not let root mount: {done.stderr.strip()}")
        mounted.append(command[-1])

    yield do
    for target in reversed(mounted):
        subprocess.run(["umount", target], check=False)

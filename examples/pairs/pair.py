"""What a pair says of itself, and where it is looked up."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from changeover.errors import EnvironmentProblem, InvalidInput
from examples.pairs.clients import Client

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Where:
    """A pair's addresses and files while it runs.

    Args:
        gateway: Address that the clients use.
        baseline: The baseline's own address.
        candidate: The candidate's own address.
        work: Folder of everything that the run makes.
        environments: Folder of the pair's virtual environments, kept between runs.
        ports: The port that stands for each one of the pair's files.
    """

    gateway: str
    baseline: str
    candidate: str
    work: Path
    environments: Path
    ports: Mapping[int, int]


@dataclass(frozen=True)
class Pair:
    """Two real systems and their real clients.

    Args:
        name: Its folder in `examples/pairs/`.
        about: What moves from where to where, in one line.
        programs: Programs that it needs, each with its Debian package.
        files: Files of Debian packages that it needs, each with its package.
        environments: Virtual environments by name, with what `pip` installs into each.
        prepare: Makes what the systems need before they start.
        services: Commands of processes beside the two systems, by name, each with the port that it
            listens on.
        clients: Returns the clients.
    """

    name: str
    about: str
    clients: Callable[[Where], list[Client]]
    programs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prepare: Callable[[Where], None] = field(default=lambda where: None)
    services: Callable[[Where], dict[str, tuple[list[str], int]]] = field(
        default=lambda where: {})

    @property
    def folder(self) -> Path:
        """Where its plan, its configuration and its list of differences are."""
        return FOLDER / self.name

    def require(self) -> None:
        """Check that this machine has what the pair needs.

        Raises:
            EnvironmentProblem: A program or a file is missing; says which packages to install.
        """
        missing = {package for program, package in self.programs.items()
                   if shutil.which(program) is None}
        missing |= {package for path, package in self.files.items() if not Path(path).exists()}
        if missing:
            raise EnvironmentProblem(
                f"the pair {self.name} cannot run here: packages are missing",
                next_step=f"Debian: apt-get install {' '.join(sorted(missing))}")

    def make_environments(self, folder: Path) -> None:
        """Make the virtual environments that are not there yet.

        Raises:
            EnvironmentProblem: `pip` cannot install what is needed.
        """
        for name, wanted in self.environments.items():
            place = folder / name
            done = place / "complete"
            # only what was installed to its end says so: an interrupted one is made again
            if done.exists() and done.read_text() == repr(wanted):
                continue
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(place)])
            _run([str(place / "bin" / "pip"), "install", "--quiet", *wanted])
            done.write_text(repr(wanted))


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise EnvironmentProblem(
            f"{' '.join(command[:3])} failed: {ended.stderr.strip()[-500:]}",
            next_step="Look whether the package index can be reached, and run it again")


def names() -> list[str]:
    """Return the names of all pairs."""
    return sorted(each.parent.name for each in FOLDER.glob("*/pair.py"))


def load(name: str) -> Pair:
    """Return a pair.

    Raises:
        InvalidInput: There is none of that name.
    """
    if name not in names():
        raise InvalidInput(f"there is no pair {name!r}", allowed=", ".join(names()),
                           next_step=f"For instance: python -m examples.pairs {names()[0]}")
    found: Pair = importlib.import_module(f"examples.pairs.{name}.pair").PAIR
    return found

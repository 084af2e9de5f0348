"""Prefect in high availability on this machine: a cutover during which its parts are killed.

    python -m examples.prefect_ha
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import click

from changeover.cli.common import FOLDER
from changeover.errors import EnvironmentProblem
from changeover.supervisor.keeper import ASKED_TO_END
from examples.prefect_ha.parts import Parts
from examples.prefect_ha.run import Run
from examples.scripts import exit_code, show


@click.command(epilog="""
\b
Needs Debian's postgresql, redis-server and nginx-light, and `pip install -e '.[postgres,ha]'`.
""")
@click.option("--home", type=FOLDER, default=".changeover-prefect-ha", show_default=True,
              help="Folder of all files of the run; emptied at the start.")
def main(home: Path) -> int:
    """Cut over with a Prefect in high availability while one of each of its parts is killed.

    Exit code 0: promoted, each step once, no user's request failed; 1: something was not as it
    should be; 3: rolled back. Nothing is left running.
    """
    # a shell starts what it puts in the background with SIGINT ignored
    for number in ASKED_TO_END:
        signal.signal(number, signal.default_int_handler)
    return Run(Parts(_emptied(home.absolute()), show), show).run()


def _emptied(folder: Path) -> Path:
    """Make the folder; remove what an earlier run left in it, and nothing else."""
    mark = folder / "made-by-examples.prefect_ha"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise EnvironmentProblem(
                "the directory is not empty and not of an earlier run", where=str(folder),
                next_step="Give another with --home")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return folder


if __name__ == "__main__":
    raise SystemExit(exit_code(main))

"""Move one real pair from 0 to 100 % on this machine, with real clients.

    python -m examples.pairs --list
    python -m examples.pairs site
"""

from __future__ import annotations

from pathlib import Path

import click

from changeover.cli.common import FOLDER
from changeover.cli.demo import fresh_home
from examples.pairs import pair as pairs
from examples.pairs.run import Run
from examples.scripts import exit_code, show


@click.command(epilog="""
\b
Examples:
  python -m examples.pairs --list
  python -m examples.pairs site
  python -m examples.pairs site --home /tmp/site
""")
@click.argument("name", required=False)
@click.option("--list", "lists", is_flag=True, help="Say which pairs there are.")
@click.option("--home", type=FOLDER, help="Folder of all files of the run; emptied at the start. "
                                          "Default: .changeover-pairs/NAME.")
def main(name: str | None, *, lists: bool, home: Path | None) -> int:
    """Move a pair of real systems from 0 to 100 %, with real clients that notice nothing.

    The differences between the two systems are listed beforehand; the move begins only when the
    comparison found these and no other.

    Exit code 0: moved, and nobody noticed; 3: rolled back; 1: something else was not as it should
    be. Nothing is left running.
    """
    if lists or name is None:
        for each in pairs.names():
            click.echo(f"{each}: {pairs.load(each).about}")
        return 0
    pair = pairs.load(name)
    pair.require()
    return Run(pair, fresh_home(home or Path(".changeover-pairs") / name), show).run()


if __name__ == "__main__":
    raise SystemExit(exit_code(main))

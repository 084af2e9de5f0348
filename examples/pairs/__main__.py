"""Move one real pair from 0 to 100 % on this machine, with real clients.

    python -m examples.pairs --list
    python -m examples.pairs site
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from changeover.cli.common import FOLDER
from changeover.cli.demo import fresh_home
from changeover.errors import ChangeoverError
from examples.pairs import pair as pairs
from examples.pairs.run import Run


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
    return Run(pair, fresh_home(home or Path(".changeover-pairs") / name), _show).run()


def _show(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")


def _main() -> int:
    try:
        return int(main(standalone_mode=False) or 0)
    except ChangeoverError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130


if __name__ == "__main__":
    raise SystemExit(_main())

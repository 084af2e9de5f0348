"""The supervisor without the modules that only its start needs.

A start needs plan, store, gateway and Prefect's API: some 60 MB for months in which nothing but
restarting is left to do. So `changeover up` replaces its program by `python -m
changeover.supervisor`: same process, same parent of the same children, far less memory.

What the new program must know is in a file that exists in memory only, since the children's
environments hold secrets. What may happen meanwhile:

1. SIGTERM or SIGINT comes before the replacement: `running` ends everything, as during the start.
2. It comes while the program is being replaced: it is blocked, stays pending across the
   replacement, and is delivered when the new program can handle it.
3. A child ends meanwhile: the new program finds it ended and starts it again.
4. SIGKILL comes: the children run on, and the next `changeover up` takes them over.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from changeover.site.home import Home
from changeover.supervisor.child import Child
from changeover.supervisor.keeper import ASKED_TO_END, PROJECT, Keeper, Show


def hand_over(keeper: Keeper) -> None:
    """Replace this program by the small one; return only when the system cannot do that.

    Call it from the only thread. Every file that is open, and is not handed over, is closed.
    """
    if not hasattr(os, "memfd_create"):  # not Linux
        return
    known = os.memfd_create("changeover-children", flags=0)  # 0: stays open in the new program
    with os.fdopen(known, "w+") as file:
        json.dump(_describe(keeper), file)
        file.flush()
        # the new program reads from the beginning
        file.seek(0)
        # what is still in the buffer would be lost with this program
        sys.stdout.flush()
        command = [sys.executable, "-m", "changeover.supervisor",
                   "--home", str(keeper.home.root), "--children", str(known)]
        here = Path.cwd()
        os.chdir(PROJECT)  # where `-m` finds the package, installed or not
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_END)
        try:
            os.execv(sys.executable, command)  # noqa: S606  no shell is wanted
        except OSError as error:
            keeper.show(f"note: the supervisor keeps its memory because {error}")
        finally:
            os.chdir(here)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKED_TO_END)


def take_over(home: Path, known: int, show: Show) -> Keeper:
    """Return the keeper that `hand_over` described.

    Args:
        home: The home directory.
        known: Descriptor of the description; it is closed.
        show: Shows one line to the person who started it.
    """
    with os.fdopen(known) as file:
        found = json.load(file)
    children = [Child.described(one) for one in found["children"]]
    return Keeper(Home(home), {child.name: child for child in children}, show, found["addresses"])


def _describe(keeper: Keeper) -> dict[str, object]:
    children = [child.description() for child in keeper.children.values()]
    return {"addresses": keeper.addresses, "children": children}

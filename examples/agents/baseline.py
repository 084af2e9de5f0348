"""Starts the old system, which is Node's (`baseline.mjs`): this process becomes that one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_suffix(".mjs")
LEAST_VERSION = 18


def missing() -> str | None:
    """Return what this machine lacks for the old system and how to get it; None for nothing."""
    node, how = shutil.which("node"), "apt-get install nodejs, or https://nodejs.org"
    if node is None:
        return f"the old system needs Node.js {LEAST_VERSION} or newer; install it: {how}"
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)", found)
    if version is None or int(version[1]) < LEAST_VERSION:
        return (f"the old system needs Node.js {LEAST_VERSION} or newer, found "
                f"{found.strip() or 'none that runs'}; install a newer one: {how}")
    if shutil.which("git") is None:
        return "both systems need git; install it: apt-get install git"
    return None


def main() -> None:
    """Become Node with the same arguments."""
    if lack := missing():
        sys.exit(lack)
    os.execvp("node", ["node", str(PROGRAM), *sys.argv[1:]])  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()

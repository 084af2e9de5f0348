"""Ten thousand users while shares grow, and twenty thousand requests against what `explain` says.

    python -m benchmarks.many_users [--users 10000] [--requests 20000]

A real gateway; users bring a cookie of their own, a header, or nothing and get a cookie. They come
at 1, 5, 10, 25, 50, 75, 90 and 100 %: none may change side back. Then requests of all kinds of
keys, routes and segments are sent in eight states of the routing, and each must be answered by the
system that `decide` and `explain` name. `tests/integration/gateway/test_many_users.py` does the
same with fewer. Exit code 0: all of it is so, 1: the first one that is not, in words.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.support.many_users import REQUESTS, USERS, agree, ground, grow


def main() -> int:
    """Run and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--users", type=int, default=USERS)
    options.add_argument("--requests", type=int, default=REQUESTS)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="changeover-bench-") as name, ground(Path(name)) as on:
        began = time.monotonic()
        try:
            moved = grow(on, given.users)
            print(f"{given.users} users, none changed side back; moved at each percentage: {moved}"
                  f" ({time.monotonic() - began:.0f} s)")
            began = time.monotonic()
            counts = agree(on, given.requests)
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{sum(counts.values())} requests went where explain says: "
              f"{counts['candidate']} to the candidate, {counts['baseline']} to the baseline"
              f" ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

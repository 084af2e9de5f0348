"""A worker that acts on items until all are done: `python -m tests.support.claimer URL HOLDER LOG`.

An effect is a line in LOG, with the token it was done under. It may be killed at any line.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta

from changeover.clock import now
from changeover.domain.claims import Claim, NewClaim, Why
from changeover.domain.routing import System
from changeover.store import claims, plans
from changeover.store.engine import Store

ITEMS = [f"item-{number}" for number in range(60)]
LEASE = timedelta(seconds=1)


def main(url: str, holder: str, log: str) -> None:
    store = Store.open(url, timeout=120)
    plan = plans.load(store)
    left = set(ITEMS)
    effects = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while left:
        for item in sorted(left):
            wish = claims.claiming(NewClaim(item, System.BASELINE, holder, LEASE))
            (found,) = claims.carry_out(store, plan.migration, [wish], now=now())
            if not isinstance(found, Claim):
                left -= {item} if found.why is Why.DONE else set()
                continue
            os.write(effects, f"{item} {found.token}\n".encode())
            claims.carry_out(
                store, plan.migration, [claims.completing(item, found.token)], now=now())
        time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How often guardrails alarm while both systems are healthy, and how often they see a change.

    python -m benchmarks.guardrails

Users differ widely and some are robots; a fair test by requests stands beside it as the peer.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from scipy import stats

from changeover.analysis.window import Met, Window
from changeover.domain.verdict import Verdict
from changeover.plan.guardrails import Guardrail
from tests.core.analysis.test_guardrails import healthy, judged

RUNS = 2_000
ALPHA = 1e-4


def by_requests(own: Window, other: Window) -> bool:
    """Whether a one-sided exact test that takes requests as independent is alarmed."""
    if not own.requests or not other.requests:
        return False
    difference = own.client_errors / own.requests - other.client_errors / other.requests
    if difference <= 0.01:
        return False
    both = own.requests + other.requests
    met = own.client_errors + other.client_errors
    return bool(stats.hypergeom.sf(own.client_errors - 1, both, met, own.requests) <= ALPHA)


def main() -> None:
    """Print one line for each number of users and share of the candidate."""
    print(f"alarms in {RUNS} stages of ten minutes, both systems healthy; seen: everybody gets 404")
    print("users  share  client_errors  short_answers  by requests  seen")
    for number, share in product((40, 300, 3000), (0.05, 0.1, 0.5, 0.9)):
        random = np.random.default_rng(7)
        alarms, peer, seen = {name: 0 for name in Guardrail}, 0, 0
        for run in range(RUNS):
            own, other = healthy(random, number, share)
            for name in (Guardrail.CLIENT_ERRORS, Guardrail.SHORT_ANSWERS):
                alarms[name] += judged(name, own, other, share=share).verdict is Verdict.FAIL
            peer += by_requests(own, other)
            if run < 200:
                broken = replace(own, client_errors=own.requests, users={
                    **own.users, Met.CLIENT_ERROR: own.users[Met.ANSWER]})
                seen += judged(Guardrail.CLIENT_ERRORS, broken, other,
                               share=share).verdict is Verdict.FAIL
        print(f"{number:5}  {share:5.0%}  {alarms[Guardrail.CLIENT_ERRORS] / RUNS:13.2%}  "
              f"{alarms[Guardrail.SHORT_ANSWERS] / RUNS:13.2%}  {peer / RUNS:11.1%}  "
              f"{seen / 200:4.0%}")


if __name__ == "__main__":
    main()

"""Sample-ratio mismatch: did as many users come to the candidate as the split says? Pure.

When they did not, something between the users and what is counted treats the two systems
differently (requests that are lost, clients that go away), and no comparison of the rest is fair.
"""

from __future__ import annotations

import math

PRIOR = 1000.0
"""How sharply the prior stands around the split: the larger, the smaller the mismatch it seeks."""
LOG_ALARM = math.log(1000)


def log_mismatch(mine: int, theirs: int, share: float) -> float:
    """Return the logarithm of the e-value against "the split is as planned".

    Source: Beta-binomial mixture of Lindon, Malek 2022 (arXiv 2011.03567) for two arms.

    Args:
        mine: Users seen with the candidate in this stage, each counted once.
        theirs: Users seen with the baseline.
        share: The candidate's share of the users by the split, above 0 and below 1.
    """
    rest = 1 - share
    mixture = _log_beta(PRIOR * share + mine, PRIOR * rest + theirs)
    prior = _log_beta(PRIOR * share, PRIOR * rest)
    return mixture - prior - mine * math.log(share) - theirs * math.log(rest)


def mismatch(mine: int, everyone: int, share: float) -> str | None:
    """Return why the two systems' users are no fair sample; None when they may be.

    Args:
        mine: Groups of users (buckets) seen with the candidate, each counted once.
        everyone: Those seen with either system.
        share: The candidate's share by the split, above 0 and below 1.
    """
    if log_mismatch(mine, everyone - mine, share) < LOG_ALARM:
        return None
    return (f"{mine} of {everyone} groups of users came to the candidate, where the split lets "
            f"expect {share:.1%}: something loses users of one system (sample-ratio mismatch)")


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


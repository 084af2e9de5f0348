"""Why a mode cannot follow another, and what to do instead, by the modes' names. Pure."""

from __future__ import annotations

_ON_USERS = "users are on the candidate; roll back"
_WHY_NOT = {
    ("baseline_only", "candidate_only"): "no traffic has been measured; go through gradual",
    ("shadow", "candidate_only"): "no user has been moved yet; go through gradual",
    ("parallel", "candidate_only"): "no user has been moved yet; go through gradual",
    ("gradual", "shadow"): f"{_ON_USERS} or go to baseline_only first",
    ("gradual", "parallel"): f"{_ON_USERS} or go to baseline_only first",
    ("candidate_only", "shadow"): f"{_ON_USERS} first",
    ("candidate_only", "parallel"): f"{_ON_USERS} first",
    ("baseline_only", "returning"): "no user is on the candidate",
    ("shadow", "returning"): "no user is on the candidate",
    ("parallel", "returning"): "no user is on the candidate",
}
NEXT_STEP = {
    "emergency_rollback": "Run `changeover recover` to return to baseline_only",
    "returning": "Wait, or bring everyone back at once with `changeover rollback`",
}
"""What a person can do about a mode that is not left the wished way."""


def why_not(before: str, after: str) -> str:
    """Return why the way from one mode to another is closed."""
    if before == "returning":
        return "users return to the baseline in steps; that ends in emergency_rollback"
    return _WHY_NOT.get((before, after), "a rollback ends in baseline_only first")

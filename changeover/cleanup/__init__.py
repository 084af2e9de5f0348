"""Cleaning up the candidate's files: listed first, moved to a quarantine, deleted much later.

    patterns   which roots and patterns a plan may name
    dry_run    the dry run: what would be moved, what is left and why
    move       into quarantine, back again, and the end of a quarantine
    manifest   what a quarantine holds and where it was
    handles    files by the handles of their folders: no link, no other mount, no race
    start      since when files can be the candidate's
"""

from changeover.cleanup.dry_run import Cleanup, Found, Refusal, Survey, survey
from changeover.cleanup.move import BroughtBack, bring_back, purge, quarantine, quarantines
from changeover.cleanup.patterns import QUARANTINE, check_patterns

__all__ = [
    "QUARANTINE", "BroughtBack", "Cleanup", "Found", "Refusal", "Survey", "bring_back",
    "check_patterns", "purge", "quarantine", "quarantines", "survey",
]

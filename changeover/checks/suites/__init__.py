"""Validation suites: the kinds of checks that a plan may list, each real, and how they run."""

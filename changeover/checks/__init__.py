"""Validation suites and health checks."""

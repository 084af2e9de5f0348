"""Changeover's core: routing decisions, verdicts, the store, the gateway and the observer.

It imports neither Prefect nor flows, tasks, blocks or reports; those build on it.
"""

__version__ = "0.1.0"

"""Prefect in high availability, on one machine, while a cutover runs and its parts are killed.

`python -m examples.prefect_ha` runs it by hand; docs/prefect-ha.md says what was seen.
"""

"""The gated steps that flows are made of: load, call the core, store, return. No judgement here.

Every task is idempotent through the store: it keys on (migration, cutover, stage, round), so a
run may be killed at any line and continued. Results are not cached by Prefect.
"""

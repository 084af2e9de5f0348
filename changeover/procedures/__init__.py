"""The SOPs without Prefect: rollback, the baseline as the way back, levers, rehearsal."""

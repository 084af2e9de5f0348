"""The migration plan: its model, its rules and its loader."""

"""Health: checks of everything a migration stands on, repair within budgets."""

"""The console: flags, claims, outcomes, decisions, status, metrics and a page, over HTTP."""

"""The console: one HTTP service for flags, claims, outcomes and the dashboard."""

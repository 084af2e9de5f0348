"""The observer: measures every second, watches triggers, rolls back at once, recovers runs."""

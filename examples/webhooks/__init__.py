"""GitHub issues are triaged by an old agent and a new one: routed, claimed, done once, reported."""

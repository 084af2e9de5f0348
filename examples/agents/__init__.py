"""GitHub issues, done once each by an old agent (Node) or by new ones (Python)."""

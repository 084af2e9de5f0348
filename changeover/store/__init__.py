"""The SQL store: one source of truth for everything measured and decided."""

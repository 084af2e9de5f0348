"""Parts of the console that need no store."""

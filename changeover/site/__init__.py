"""One migration where it runs: its folder, its connections, where it stands."""

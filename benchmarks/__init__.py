"""Claims as commands: each prints ratios against a named peer, measured in the same run."""

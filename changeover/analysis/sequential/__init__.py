"""Evidence that may be read at any time: is the candidate worse, or not worse than a margin?"""

"""Real pairs of systems that nobody here wrote, moved from 0 to 100 % with real clients.

`python -m examples.pairs NAME` runs one by hand; docs/pairs.md says what each is and what was seen.
"""

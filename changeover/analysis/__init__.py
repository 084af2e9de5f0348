"""Judging: windows, checks, gates and triggers. Pure."""

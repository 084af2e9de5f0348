"""Judging two series of values as Kayenta does, for those who know it: docs/mann-whitney.md."""

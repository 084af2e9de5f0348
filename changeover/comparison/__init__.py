"""Comparing two answers: documents, rules, divergences, noise. Pure."""

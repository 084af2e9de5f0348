"""Evaluating flags: pure, the same answer in the provider, over HTTP and on the command line."""

"""Envoy's configuration, as pure JSON."""

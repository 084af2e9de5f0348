"""What Envoy is told, as pure JSON."""

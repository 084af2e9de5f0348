"""A static site moves from nginx to Caddy."""

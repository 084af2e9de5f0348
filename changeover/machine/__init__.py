"""What this machine gives to every part: files, HTTP clients, ports, names of paths."""

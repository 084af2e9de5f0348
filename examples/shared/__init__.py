"""What several examples share: faults on request, and users' requests."""

"""Another plan's questions to what was measured. Pure."""

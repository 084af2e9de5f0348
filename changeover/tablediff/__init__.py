"""Whether tables of two databases hold the same rows."""

"""What a migration is made of, and the rules over it: frozen records and pure functions."""

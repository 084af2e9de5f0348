"""What another plan would have decided, by what is kept in the store."""

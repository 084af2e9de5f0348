"""What people see at a terminal, and what programs read of it."""
